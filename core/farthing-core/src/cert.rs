//! Certificates: the bank says for hours, a week at the most, who may do what and how much.
//!
//! There is no revocation list: a certificate simply ends, and a suspended peer gets no new one.

use minicbor::{Decode, Encode};

use crate::amount::Amount;
use crate::id::{NetworkId, PeerId};
use crate::refusal::{Code, Refusal};
use crate::seal::SealPublic;
use crate::sign::{Signed, Statement, Verified};
use crate::time::{Span, Time, Window};

/// The longest life of a certificate: 7 days.
pub const CERTIFICATE_LIFE_MAX: Span = Span::from_days(7);

/// The life of a certificate where nobody asks for another: 24 hours.
pub const CERTIFICATE_LIFE: Span = Span::from_hours(24);

/// What a certificate lets its holder be.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode)]
#[cbor(index_only)]
pub enum RoleName {
    /// Pays and is paid.
    #[n(0)]
    Peer,
    /// Finds content.
    #[n(1)]
    Index,
    /// Settles fair exchanges.
    #[n(2)]
    Arbiter,
    /// Issues coins.
    #[n(3)]
    Mint,
    /// Writes drafts that are taken without asking the bank: only for whoever has reconciled its log
    /// with the bank, so no certificate of this role is to be had for the asking.
    #[n(4)]
    Drawer,
}

/// The limits that a certificate states; a payee offline trusts no more than this.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Limits {
    /// The most that one payment may be.
    #[n(0)]
    pub per_item: Amount,
    /// The most that may be owed in all.
    #[n(1)]
    pub total: Amount,
}

/// A peer's certificate.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Certificate {
    /// Whose: the key that signs its statements.
    #[n(0)]
    pub holder: PeerId,
    /// The key to seal messages to it.
    #[n(1)]
    pub seal: SealPublic,
    /// What it may be.
    #[n(2)]
    pub role: RoleName,
    /// Counted by the bank; a later certificate has a higher number.
    #[n(3)]
    pub serial: u64,
    /// When it holds.
    #[n(4)]
    pub window: Window,
    /// How far it may be trusted.
    #[n(5)]
    pub limits: Limits,
    /// The head of the holder's audit log as last reconciled.
    #[cbor(n(6), with = "minicbor::bytes")]
    pub log_head: [u8; 32],
    /// What the holder's account had deposited against cheating when this was issued.
    #[n(7)]
    pub deposit: Amount,
}

impl Statement for Certificate {
    const KIND: u16 = 0x0002;
}

/// A certificate that holds: signed by the bank, and now.
#[derive(Clone, Debug)]
pub struct Certified(Verified<Certificate>);

impl Certified {
    /// Checks a certificate: the certifying key's signature, its life, and the moment.
    ///
    /// # Errors
    /// A [`Refusal`] with code signature, certificate, not-yet or expired.
    pub fn check(
        certificate: Signed<Certificate>,
        network: NetworkId,
        authority: PeerId,
        now: Time,
    ) -> Result<Self, Refusal> {
        let verified = certificate.verify_by(network, authority)?;
        let window = verified.body().window;
        if window.to.since(window.from) > CERTIFICATE_LIFE_MAX || window.to <= window.from {
            return Err(Refusal::new(Code::Certificate, "the certificate claims a life longer than a week"));
        }
        if now < window.from {
            return Err(Refusal::new(Code::NotYet, "the certificate does not hold yet: check the clocks"));
        }
        if now >= window.to {
            return Err(Refusal::new(Code::Certificate, "the certificate has ended: get a new one from the bank"));
        }
        Ok(Self(verified))
    }

    /// What it says.
    #[must_use]
    pub const fn body(&self) -> &Certificate {
        self.0.body()
    }

    /// The certificate as it arrived, to keep or show.
    #[must_use]
    pub const fn signed(&self) -> &Signed<Certificate> {
        self.0.signed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::amount::Currency;
    use crate::sign::SecretKey;

    const HERE: NetworkId = NetworkId([1; 16]);

    fn certificate(from: u64, to: u64) -> Certificate {
        let amount = Currency::XTS.micros(5).unwrap();
        Certificate {
            holder: PeerId([1; 32]),
            seal: SealPublic([2; 32]),
            role: RoleName::Peer,
            serial: 1,
            window: Window { from: Time::from_millis(from), to: Time::from_millis(to) },
            limits: Limits { per_item: amount, total: amount },
            log_head: [0; 32],
            deposit: amount,
        }
    }

    fn check(body: &Certificate, now: u64) -> Result<Certified, Code> {
        let bank = SecretKey::from_seed(&[1; 32]);
        Certified::check(bank.sign(HERE, body), HERE, bank.id(), Time::from_millis(now)).map_err(|r| r.code)
    }

    #[test]
    fn a_certificate_holds_inside_its_window_only() {
        let body = certificate(10, 20);
        assert_eq!(check(&body, 9).unwrap_err(), Code::NotYet);
        assert!(check(&body, 10).is_ok());
        assert!(check(&body, 19).is_ok());
        assert_eq!(check(&body, 20).unwrap_err(), Code::Certificate);
    }

    #[test]
    fn reader_refuses_a_certificate_of_another_authority() {
        let other = SecretKey::from_seed(&[2; 32]);
        let bank = SecretKey::from_seed(&[1; 32]);
        let signed = other.sign(HERE, &certificate(10, 20));
        let refusal = Certified::check(signed, HERE, bank.id(), Time::from_millis(15)).unwrap_err();
        assert_eq!(refusal.code, Code::Signature);
    }

    #[test]
    fn reader_refuses_a_certificate_for_longer_than_a_week() {
        let body = certificate(10, 11 + CERTIFICATE_LIFE_MAX.as_millis());
        assert_eq!(check(&body, 15).unwrap_err(), Code::Certificate);
    }
}
