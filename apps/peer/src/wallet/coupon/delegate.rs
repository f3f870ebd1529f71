//! A wallet to hand to a program: a file that can spend so much, until then, and no more.
//!
//! The cap is money: a delegate has an account of its own, into which its owner pays the cap, and
//! whoever holds the file, or ten copies of it, finds no more there than that. The expiry binds the
//! program that opens the file, and every session it opens ends by then; against a thief it is the
//! owner who ends it, by [taking the rest back](Wallet::reclaim). Its seed grows from the owner's,
//! under a number in the file, so the owner can do that without the file's help.

use std::path::{Path, PathBuf};

use farthing_core::amount::Amount;
use farthing_core::order::Order;
use farthing_core::seed::{KeyPurpose, Seed, Which};
use farthing_core::time::{Span, Time};
use farthing_core::vault::{self, Protection, VAULT_MAX};
use farthing_core::wire;
use farthing_role::Context;
use minicbor::{Decode, Encode};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use zeroize::Zeroize;

use crate::wallet::error::WalletError;
use crate::wallet::home::{random, read_private, write_private};
use crate::wallet::policy;
use crate::wallet::settings::Settings;
use crate::wallet::spending::Want;
use crate::wallet::{Desk, Options, Policy, Wallet};

/// How long the payment between the two accounts may take.
const PAYMENT_LIFE: Span = Span::from_hours(1);

/// A session of a delegate takes one part in so many of its cap at the most, so that there is
/// something left for the next site.
const SESSION_PART: u64 = 10;

/// How often the bank is asked whether sessions that were closed have given back what they held.
const LOOKS: u32 = 20;

/// The pause between two such looks.
const LOOK_PAUSE: std::time::Duration = std::time::Duration::from_millis(250);

/// What is in the file.
#[derive(Encode, Decode)]
struct Contents {
    /// The seed's entropy.
    #[cbor(n(0), with = "minicbor::bytes")]
    entropy: [u8; 32],
    /// Under which number it grows from the owner's.
    #[cbor(n(1), with = "minicbor::bytes")]
    number: [u8; 16],
    /// `wallet.toml` of the delegate.
    #[n(2)]
    settings: String,
    /// From when on it pays nothing.
    #[n(3)]
    expires: Time,
}

impl Drop for Contents {
    fn drop(&mut self) {
        self.entropy.zeroize();
    }
}

/// A delegate, opened.
#[derive(Debug)]
pub struct Delegate {
    /// Its wallet.
    pub wallet: Wallet,
    /// From when on it pays nothing; let every session end by then.
    pub expires: Time,
    /// The most it can ever spend.
    pub cap: Amount,
}

/// What came back from a delegate, and what did not.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Reclaimed {
    /// In the owner's account again.
    pub back: Amount,
    /// Set aside in sessions at the bank: whoever holds the file can spend that, with the sellers
    /// they were opened with and nobody else, until they end.
    pub held: Amount,
    /// By when a program that keeps to the file has ended all of them.
    pub expires: Time,
}

impl Wallet {
    /// Makes a wallet for a program and pays the cap into its account, by way of the policy: it is
    /// spent as far as this wallet is concerned. What is left can be [reclaimed](Self::reclaim).
    ///
    /// The file appears before any money moves, and goes again where none did; beside it, in a
    /// folder of its name and `.state`, lies what the delegate writes down. Where the file is still
    /// there after an error, money may be in its account: [`reclaim`](Self::reclaim) it.
    ///
    /// # Errors
    /// [`WalletError`].
    pub async fn delegate(&self, desk: &dyn Desk, file: &Path, cap: Amount, expires: Time) -> Result<(), WalletError> {
        if file.exists() || state_of(file).exists() {
            return Err(WalletError::Exists(file.into()));
        }
        let number = random()?;
        let entropy = grown(self.seed(), &number);
        let policy = Policy { total: Some(cap), ..Policy::default() };
        let mut settings = Settings { policy, ..Settings::with_bank(self.settings().bank.clone()) };
        // It pays by sessions only, and none of them takes all it has.
        settings.chains.spare = 0;
        settings.chains.value_micros = (cap.as_micros() / SESSION_PART).max(settings.chains.unit_micros);
        settings.check().map_err(|why| WalletError::Settings { path: file.into(), why })?;
        let text = toml::to_string(&settings)
            .map_err(|why| WalletError::Settings { path: file.into(), why: why.to_string() })?;
        let contents = Contents { entropy, number, settings: text, expires };
        let mut rng = ChaCha20Rng::from_seed(random()?);
        let secret = zeroize::Zeroizing::new(wire::encode(&contents));
        write_private(file, &vault::seal(&secret, &Protection::None, &mut rng)?)?;
        let paid = self.endow(desk, file, &contents, &settings, cap).await;
        paid.map_err(|Unpaid { why, moved }| {
            if !moved {
                forget(file);
            }
            why
        })
    }

    /// Makes the delegate's wallet and pays the cap into its account.
    async fn endow(
        &self,
        desk: &dyn Desk,
        file: &Path,
        contents: &Contents,
        settings: &Settings,
        cap: Amount,
    ) -> Result<(), Unpaid> {
        let seed = Seed::from_entropy(contents.entropy);
        let theirs = Self::create(&state_of(file), &seed, &Protection::None, settings, self.same_clock()).await?;
        let paid = pay(self, &theirs, desk, cap).await;
        theirs.close().await;
        paid
    }

    /// Opens a delegate. Where only the file was handed over, what it writes down is begun anew,
    /// and books are compared with the bank first.
    ///
    /// # Errors
    /// [`WalletError`]; [`WalletError::Session`] once it has ended.
    pub async fn open_delegate(file: &Path, options: Options) -> Result<Delegate, WalletError> {
        let contents = read(file)?;
        if options.clock.now() >= contents.expires {
            return Err(WalletError::Session("of this delegate has ended, as its owner wanted"));
        }
        let state = state_of(file);
        let wallet = if state.exists() {
            Self::open(&state, &Protection::None, options).await?
        } else {
            let settings = parse(file, &contents)?;
            let seed = Seed::from_entropy(contents.entropy);
            Self::restore_from_seed(&state, &seed, &Protection::None, &settings, options).await?
        };
        if wallet.is_restored() {
            let desk = wallet.desk().await?;
            wallet.reconcile(&*desk).await?;
        }
        let cap = parse(file, &contents)?.policy.total.unwrap_or(wallet.settings().currency().zero());
        Ok(Delegate { wallet, expires: contents.expires, cap })
    }

    /// The delegate's own records, where it kept them on this machine, so that its sessions can be
    /// closed before the rest is [reclaimed](Self::reclaim). Whether it has ended does not matter.
    ///
    /// # Errors
    /// [`WalletError`]; [`WalletError::Foreign`] for another wallet's delegate.
    pub async fn delegate_here(&self, file: &Path) -> Result<Option<Self>, WalletError> {
        self.own_delegate(file)?;
        let state = state_of(file);
        if !state.exists() {
            return Ok(None);
        }
        let theirs = Self::open(&state, &Protection::None, self.same_clock()).await?;
        if theirs.is_restored() {
            let desk = self.desk().await?;
            theirs.reconcile(&*desk).await?;
        }
        Ok(Some(theirs))
    }

    /// Takes back what a delegate of this wallet has left in its account. Money that its sessions
    /// have set aside comes back there when they end: reclaim again then. Sessions that were just
    /// closed are waited for, a little, until no more than `held` is set aside. `workspace` is a
    /// folder that does not exist; it is used for the time being.
    ///
    /// # Errors
    /// [`WalletError`]; [`WalletError::Foreign`] for another wallet's delegate.
    pub async fn reclaim(
        &self,
        desk: &dyn Desk,
        file: &Path,
        workspace: &Path,
        held: Amount,
    ) -> Result<Reclaimed, WalletError> {
        let contents = self.own_delegate(file)?;
        let seed = Seed::from_entropy(contents.entropy);
        let settings = Settings { policy: Policy::default(), ..parse(file, &contents)? };
        let theirs = Self::restore_from_seed(workspace, &seed, &Protection::None, &settings, self.same_clock()).await?;
        let done = async {
            theirs.reconcile(desk).await?;
            let mut balances = theirs.statement(desk, None, 1).await?.balances;
            for _ in 0..LOOKS {
                if balances.held.compare(held)?.is_le() {
                    break;
                }
                tokio::time::sleep(LOOK_PAUSE).await;
                balances = theirs.statement(desk, None, 1).await?.balances;
            }
            let back = balances.balance.checked_sub(balances.held)?;
            if !back.is_zero() {
                theirs.take_over_desk(self).await?;
                pay(&theirs, self, desk, back).await.map_err(|unpaid| unpaid.why)?;
                let payee = theirs.me();
                let unspent = move |cx: &mut Context<'_>| Ok(policy::give_back_late(cx.tx, &payee, back)?);
                self.inner.handle.transact(unspent).await?;
            }
            Ok(Reclaimed { back, held: balances.held, expires: contents.expires })
        };
        let done = done.await;
        theirs.close().await;
        done
    }

    /// What is in the file of a delegate that grew from this wallet's seed.
    fn own_delegate(&self, file: &Path) -> Result<Contents, WalletError> {
        let contents = read(file)?;
        if grown(self.seed(), &contents.number) == contents.entropy {
            Ok(contents)
        } else {
            Err(WalletError::Foreign(file.into()))
        }
    }

    fn same_clock(&self) -> Options {
        Options { clock: std::sync::Arc::clone(&self.inner.clock), ..Options::default() }
    }

    /// Goes to the bank the way another wallet does.
    async fn take_over_desk(&self, other: &Self) -> Result<(), WalletError> {
        let desk = other.desk().await?;
        self.set_desk(desk).await;
        Ok(())
    }
}

/// Why an amount did not arrive.
struct Unpaid {
    why: WalletError,
    /// Whether it may be on its way.
    moved: bool,
}

impl<E: Into<WalletError>> From<E> for Unpaid {
    fn from(why: E) -> Self {
        Self { why: why.into(), moved: false }
    }
}

/// Pays an amount from one wallet's account into another's, by a chain of one visit.
async fn pay(from: &Wallet, to: &Wallet, desk: &dyn Desk, amount: Amount) -> Result<(), Unpaid> {
    to.open_account(desk).await?;
    let now = from.checked_now()?;
    let order = Order {
        payee: to.me(),
        content: None,
        size: 1,
        piece: 1,
        price: amount,
        description: "money set aside for a program".into(),
        created: now,
        expires: now.after(PAYMENT_LIFE),
        nonce: random()?,
    };
    let want = Want { payee: to.me(), order: order.clone(), units_per_piece: 1, pieces: 1, max_total: amount };
    let (visit, mut spending) = from.begin(want).await?;
    let earning = to.admit(now, &order, visit).await?;
    let pay = spending.pay(spending.units_per_piece()).await?;
    earning.on_pay(&pay)?;
    let hand_over = async {
        earning.persist().await?;
        let (release, receipt, through) = (earning.release().await?, earning.receipt()?, spending.through());
        spending.finish(release, Some(receipt), through).await?;
        to.redeem(desk).await
    };
    hand_over.await.map(drop).map_err(|why| Unpaid { why, moved: true })
}

/// Takes away the file of a delegate into whose account nothing was paid.
fn forget(file: &Path) {
    let _ = std::fs::remove_dir_all(state_of(file));
    let _ = std::fs::remove_file(file);
}

fn grown(seed: &Seed, number: &[u8; 16]) -> [u8; 32] {
    let context = [b"delegate", &number[..]].concat();
    *seed.derive(KeyPurpose::Identity, Which::For(&context)).expose()
}

fn read(file: &Path) -> Result<Contents, WalletError> {
    let secret = vault::open(&read_private(file, VAULT_MAX as u64)?, &Protection::None)?;
    let none = || WalletError::Backup { path: file.into(), why: "it holds no wallet for a program" };
    wire::decode(&secret).map_err(|_| none())
}

fn parse(file: &Path, contents: &Contents) -> Result<Settings, WalletError> {
    Settings::parse(&contents.settings).map_err(|why| WalletError::Settings { path: file.into(), why })
}

/// Where a delegate writes down what it must not forget.
fn state_of(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".state");
    name.into()
}
