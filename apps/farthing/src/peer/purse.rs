//! What web requests are paid from: the wallet of the home folder, or a delegate's file.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use farthing_client::{Advice, Options, PayError};
use farthing_core::amount::Amount;
use farthing_core::refusal::Money;
use farthing_core::time::Time;
use farthing_peer::wallet::{Approver, Options as WalletOptions, Wallet};

use super::attendant::Attendant;
use super::policy::{Asks, raise};
use super::turn::Unopened;
pub(crate) use super::turn::Wait;
use crate::cli::App;
use crate::control::{Attending, Control};
use crate::fail::{Failure, Kind};
use crate::show::moment;

/// A delegate's session is made for so many requests like the first.
const DELEGATE_REQUESTS: u32 = 100;

/// A wallet that is open, and on whose behalf it pays.
pub(crate) struct Purse {
    /// The wallet.
    pub(crate) wallet: Wallet,
    /// Whose spending is counted apart.
    pub(crate) tool: Option<String>,
    delegate: Option<Delegated>,
}

/// What is special about a delegate.
struct Delegated {
    file: PathBuf,
    cap: Amount,
    expires: Time,
}

impl Purse {
    /// Opens a delegate's file, or else the wallet of the home folder. What the policy wants
    /// approved is asked about, unless it is approved already.
    pub(crate) async fn open(
        app: &App,
        file: Option<&Path>,
        tool: Option<&str>,
        approve: bool,
        wait: Wait,
    ) -> Result<Self, Failure> {
        let tool = tool.map(str::to_owned);
        let approver: Arc<dyn Approver> = Arc::new(Asks::new(app.yes || approve));
        let mut turn = wait.begin();
        loop {
            let approver = Arc::clone(&approver);
            let opened = match file {
                None => super::open_now(&app.settings, approver).await.map(|wallet| (wallet, None)),
                Some(file) => {
                    let options = WalletOptions { approver, ..WalletOptions::default() };
                    Wallet::open_delegate(file, options).await.map_err(Unopened::from).map(|opened| {
                        let delegated = Delegated { file: file.to_owned(), cap: opened.cap, expires: opened.expires };
                        (opened.wallet, Some(delegated))
                    })
                }
            };
            match opened {
                Ok((wallet, delegate)) => return Ok(Self { wallet, tool, delegate }),
                Err(why) => turn.again(app, why).await?,
            }
        }
    }

    /// Answers other commands that want the wallet of the home folder, for as long as this one has it.
    pub(crate) fn attend(&self, app: &App) -> Option<Attending> {
        if self.delegate.is_some() {
            return None;
        }
        let attendant = Attendant::new(self.wallet.clone(), app.settings.clone());
        // Without a socket they wait, and this one goes on all the same.
        let control =
            Control::listen(&app.settings.home).inspect_err(|why| tracing::info!(%why, "others have to wait"));
        Some(control.ok()?.attend(Arc::new(attendant)))
    }

    /// What a client may do with it: a delegate's sessions are small, and end when it does.
    pub(crate) fn options(&self) -> Options {
        let requests = self.delegate.as_ref().map(|_| DELEGATE_REQUESTS);
        let session_ends = self.delegate.as_ref().map(|delegate| delegate.expires);
        Options { session_ends, session_requests: requests, ..Options::default() }
    }

    /// Why there is no answer, and what to do about it: a delegate's program cannot put money in.
    pub(crate) async fn failure(&self, app: &App, why: PayError) -> Failure {
        let PayError::Refused { advice, .. } = &why else { return why.into() };
        match (*advice, &self.delegate) {
            (Advice::Allow("total") | Advice::Fund, Some(delegate)) => {
                let next = self.used_up(delegate).await;
                Failure::from(why).next(next)
            }
            // Whoever takes a delegate back spends from it: what is left of it is another copy.
            (Advice::Reconcile, Some(Delegated { file, .. })) => {
                let file = file.display();
                let gone = format!("what {file} could spend was taken back, or another copy of it spends it");
                let next = format!("the owner of {file} can hand out another one: farthing wallet delegate");
                Failure::new(Kind::Funds, gone).money(Money::Unmoved).next(next)
            }
            (Advice::Fund, None) => {
                let next = self.set_aside().await;
                next.into_iter().fold(why.into(), Failure::next)
            }
            (Advice::Allow(limit), None) => Failure::from(why).next(raise(&app.settings, limit)),
            (Advice::Approve, None) => {
                let next = format!("add --approve, or {}", raise(&app.settings, "approve_above"));
                Failure::from(why).next(next)
            }
            _ => why.into(),
        }
    }

    /// Where the money of the account is, if the bank tells.
    async fn set_aside(&self) -> Option<String> {
        let bank = self.wallet.connect().await.ok()?;
        let balances = self.wallet.statement(&bank, None, 1).await.ok()?.balances;
        let free = balances.balance.checked_sub(balances.held).ok()?;
        let ready = self.wallet.ready().await.ok()?;
        let mut text = format!("{free} is free in the account");
        if !ready.is_zero() {
            let _ = write!(
                text,
                ", and {ready} more is set aside to pay peers without the bank until it comes back by itself"
            );
        }
        let site = self.wallet.coupon_sessions().await.ok()?.into_iter().find(|session| session.left > 0);
        if let Some(session) = site {
            let _ = write!(text, "; what {} did not take comes back: farthing get {0} --close", session.site);
        }
        text.push_str("; or put money in: farthing wallet fund AMOUNT");
        Some(text)
    }

    /// The cap is reached, or is set aside elsewhere.
    async fn used_up(&self, delegate: &Delegated) -> String {
        let (file, cap) = (delegate.file.display(), delegate.cap);
        let sessions = self.wallet.coupon_sessions().await.unwrap_or_default();
        let idle = sessions.iter().find(|session| session.left > 0);
        let owner = format!("the owner of {file} can hand out another one: farthing wallet delegate");
        match idle {
            Some(session) => format!(
                "{cap} is all that {file} can spend, and part of it is set aside at {} until {}; to have that back: \
                 farthing get {} --wallet {file} --close; or {owner}",
                session.site,
                moment(session.not_after),
                session.site
            ),
            None => format!("{cap} is all that {file} can spend; {owner}"),
        }
    }
}
