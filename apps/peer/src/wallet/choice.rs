//! Which scheme a payment is made by: a table, and the reason in words.

use core::fmt;
use core::str::FromStr;

use farthing_core::amount::Amount;
use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

use super::Wallet;
use super::error::WalletError;
use super::single::Purchase;

/// A way to pay that this wallet speaks.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Encode, Decode, Serialize, Deserialize)]
#[cbor(index_only)]
#[serde(rename_all = "lowercase")]
pub enum Scheme {
    /// P2P-NetPay: words of a chain opened in advance, spread over payees.
    #[n(0)]
    Netpay,
    /// µ-iKP: a session with one seller, one hash for each request.
    #[n(1)]
    Coupon,
    /// Kelsey and Schneier, online: each payment is asked of the bank.
    #[n(2)]
    Clearing,
    /// Kelsey and Schneier, offline: a signed promise that the bank will pay.
    #[n(3)]
    Draft,
}

impl Scheme {
    /// Every scheme.
    pub const ALL: [Self; 4] = [Self::Netpay, Self::Coupon, Self::Clearing, Self::Draft];

    /// Its name in commands and messages.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Netpay => "netpay",
            Self::Coupon => "coupon",
            Self::Clearing => "clearing",
            Self::Draft => "draft",
        }
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The word names no scheme.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("there is no such scheme: netpay, coupon, clearing and draft can pay")]
pub struct NoSuchScheme;

impl FromStr for Scheme {
    type Err = NoSuchScheme;

    fn from_str(word: &str) -> Result<Self, NoSuchScheme> {
        Self::ALL.into_iter().find(|scheme| scheme.name() == word).ok_or(NoSuchScheme)
    }
}

/// What is to be paid, and what stands ready.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Circumstances {
    /// How much in all.
    pub amount: Amount,
    /// Into how many payments it may fall: the pieces of a file, the requests of a session.
    pub payments: u64,
    /// Whether the same payee will be paid again soon.
    pub again: bool,
    /// What the payee takes.
    pub takes: Vec<Scheme>,
    /// Whether the payer wants to be named by a pseudonym.
    pub alias: bool,
    /// Whether the bank can be reached.
    pub online: bool,
    /// Whether a session with the payee is open.
    pub session: bool,
    /// What chains can still pay without the bank.
    pub chains: Amount,
    /// What may still be promised by drafts without the bank.
    pub drafts: Amount,
    /// The owner's word for a scheme, before any table.
    pub wanted: Option<Scheme>,
}

/// What the table says.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct Choice {
    /// By which scheme.
    pub scheme: Scheme,
    /// Why, in words that follow "because".
    pub reason: &'static str,
}

impl Circumstances {
    fn within(&self, ready: Amount) -> bool {
        self.amount.compare(ready).is_ok_and(core::cmp::Ordering::is_le)
    }

    /// The rows of the table, in its order: the first that the payee takes and whose condition holds.
    fn table(&self) -> [(Scheme, bool, &'static str); 9] {
        let many = self.payments > 1;
        [
            (
                Scheme::Draft,
                self.alias && (self.online || self.within(self.drafts)),
                "only drafts are written under a pseudonym",
            ),
            (Scheme::Coupon, !self.alias && many && self.session, "a session with this seller is open"),
            (
                Scheme::Coupon,
                !self.alias && many && self.again && self.online,
                "many small payments go to one seller that is known",
            ),
            (
                Scheme::Netpay,
                !self.alias && many && (self.online || self.within(self.chains)),
                "many small payments cost one hash each, and the bank is not asked",
            ),
            (
                Scheme::Clearing,
                !self.alias && self.online,
                "it is one payment and the bank can be reached: it is final at once",
            ),
            (
                Scheme::Draft,
                !self.alias && !self.online && self.within(self.drafts),
                "the bank cannot be reached, and a draft needs no bank",
            ),
            (Scheme::Draft, !self.alias && self.online, "it is one payment, and the payee takes drafts"),
            (
                Scheme::Netpay,
                !self.alias && (self.online || self.within(self.chains)),
                "the payee takes nothing else that could pay this now",
            ),
            (
                Scheme::Coupon,
                !self.alias && (self.online || self.session),
                "the payee takes nothing else that could pay this now",
            ),
        ]
    }
}

impl Wallet {
    /// What stands ready to pay somebody, for [`choose`] to choose from. The bank is asked whether it is
    /// there.
    ///
    /// # Errors
    /// [`WalletError`].
    pub async fn circumstances(
        &self,
        it: &Purchase,
        takes: &[Scheme],
        payments: u64,
    ) -> Result<Circumstances, WalletError> {
        let zero = self.inner.settings.currency().zero();
        let book = self.draft_books().await?.into_iter().find(|book| book.alias == it.alias);
        let sessions = self.coupon_sessions().await?;
        let online = match self.desk().await {
            Ok(desk) => self.statement(&*desk, None, 1).await.is_ok(),
            Err(_) => false,
        };
        Ok(Circumstances {
            amount: it.amount,
            payments,
            again: false,
            takes: takes.to_vec(),
            alias: it.alias.is_some(),
            online,
            session: sessions.iter().any(|session| session.seller == it.payee),
            chains: self.ready().await?,
            drafts: book.map_or(zero, |book| book.left),
            wanted: None,
        })
    }
}

/// Chooses a scheme, or does as the owner says.
///
/// # Errors
/// [`WalletError::NoScheme`]; nothing was paid.
pub fn choose(it: &Circumstances) -> Result<Choice, WalletError> {
    if let Some(scheme) = it.wanted {
        if !it.takes.contains(&scheme) {
            return Err(WalletError::NoScheme("the payee does not take the scheme that was asked for"));
        }
        if it.alias && scheme != Scheme::Draft {
            return Err(WalletError::NoScheme("only drafts are written under a pseudonym"));
        }
        return Ok(Choice { scheme, reason: "it was asked for" });
    }
    let row = it.table().into_iter().find(|(scheme, holds, _)| *holds && it.takes.contains(scheme));
    let (scheme, _, reason) = row.ok_or(if it.online {
        WalletError::NoScheme("the payee takes nothing that this wallet could pay this with")
    } else {
        WalletError::NoScheme(
            "the bank cannot be reached, and what stands ready is too little or not taken by the payee",
        )
    })?;
    Ok(Choice { scheme, reason })
}

#[cfg(test)]
mod tests {
    use farthing_core::amount::Currency;

    use super::*;

    fn micros(micros: u64) -> Amount {
        Currency::XTS.micros(micros).unwrap()
    }

    /// One payment, the bank within reach, everything taken, nothing ready.
    fn single() -> Circumstances {
        Circumstances {
            amount: micros(100),
            payments: 1,
            again: false,
            takes: Scheme::ALL.to_vec(),
            alias: false,
            online: true,
            session: false,
            chains: micros(0),
            drafts: micros(0),
            wanted: None,
        }
    }

    fn chosen(it: &Circumstances) -> Option<Scheme> {
        choose(it).ok().map(|choice| choice.scheme)
    }

    #[test]
    fn each_situation_of_the_book_gets_its_scheme() {
        let many = Circumstances { payments: 500, ..single() };
        assert_eq!(chosen(&Circumstances { again: true, ..many.clone() }), Some(Scheme::Coupon));
        assert_eq!(chosen(&Circumstances { online: false, session: true, ..many.clone() }), Some(Scheme::Coupon));
        assert_eq!(chosen(&many), Some(Scheme::Netpay));
        assert_eq!(chosen(&Circumstances { online: false, chains: micros(100), ..many }), Some(Scheme::Netpay));
        assert_eq!(chosen(&single()), Some(Scheme::Clearing));
        assert_eq!(chosen(&Circumstances { online: false, drafts: micros(100), ..single() }), Some(Scheme::Draft));
        assert_eq!(chosen(&Circumstances { alias: true, ..single() }), Some(Scheme::Draft));
        assert_eq!(chosen(&Circumstances { takes: vec![Scheme::Netpay], ..single() }), Some(Scheme::Netpay));
    }

    #[test]
    fn nothing_is_chosen_that_the_payee_does_not_take_or_that_cannot_pay() {
        assert_eq!(chosen(&Circumstances { takes: vec![], ..single() }), None);
        let offline = Circumstances { online: false, drafts: micros(99), chains: micros(99), ..single() };
        assert_eq!(chosen(&offline), None);
        assert_eq!(chosen(&Circumstances { alias: true, takes: vec![Scheme::Clearing], ..single() }), None);
    }

    #[test]
    fn the_owners_word_goes_before_the_table_but_not_before_the_payee() {
        let wish = |scheme| Circumstances { wanted: Some(scheme), ..single() };
        for scheme in Scheme::ALL {
            assert_eq!(chosen(&wish(scheme)), Some(scheme));
            assert_eq!(chosen(&Circumstances { takes: vec![], ..wish(scheme) }), None);
            assert_eq!(scheme.name().parse(), Ok(scheme));
        }
        assert_eq!(chosen(&Circumstances { alias: true, ..wish(Scheme::Netpay) }), None);
        assert_eq!("gold".parse::<Scheme>(), Err(NoSuchScheme));
    }
}
