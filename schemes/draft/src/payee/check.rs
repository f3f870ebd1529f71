//! The checks that need nothing but the draft, its certificate and the clock, in the book's order:
//! certificate, its time, the clock, who pays, who is paid, when; the draft's own signature last.

use farthing_core::cert::{Certificate, Certified, RoleName};
use farthing_core::refusal::{Code, Refusal, Remedy};
use farthing_core::sign::{Signed, Verified, verify_batch};
use farthing_core::time::{SKEW, Time};
use farthing_role::{Halt, Records};

use super::Payee;
use crate::messages::{DRAFT_LIFE_MAX, Digest, Draft, Payment, Shown};
use crate::rows::read;
use crate::wallet::{KNOWN, check_clock};

/// A draft whose signatures hold.
#[derive(Debug)]
pub struct Checked {
    pub(super) draft: Verified<Draft>,
    pub(super) certificate: Certificate,
    /// The certificate, where it is new to us.
    pub(super) new: Option<Signed<Certificate>>,
    pub(super) strict: bool,
}

/// A draft before its signature is checked, its certificate, and the same as it came, if it is new.
type Before = (Signed<Draft>, Certificate, Option<Signed<Certificate>>);

impl Payee {
    /// Checks one draft; changes nothing.
    ///
    /// # Errors
    /// [`Halt`].
    pub fn check(&self, now: Time, payment: Payment, facts: &dyn Records) -> Result<Checked, Halt> {
        let (draft, certificate, new) = self.before_signature(now, payment, facts)?;
        let draft = draft.verify_by(self.network, certificate.holder).map_err(Refusal::from)?;
        Ok(Checked { draft, certificate, new, strict: true })
    }

    /// Checks many drafts, their signatures together. Answers in order.
    #[must_use]
    pub fn check_queue(&self, now: Time, queue: Vec<Payment>, facts: &dyn Records) -> Vec<Result<Checked, Halt>> {
        let mut drafts = Vec::with_capacity(queue.len());
        let mut found = Vec::with_capacity(queue.len());
        for payment in queue {
            found.push(self.before_signature(now, payment, facts).map(|(draft, certificate, new)| {
                drafts.push(draft);
                (certificate, new)
            }));
        }
        let mut verified = verify_batch(self.network, drafts).into_iter();
        let mut checked = Vec::with_capacity(found.len());
        for one in found {
            checked.push(one.and_then(|(certificate, new)| {
                let lost = || Refusal::new(Code::State, "the draft was not checked");
                let draft = verified.next().ok_or_else(lost)?.map_err(Refusal::from)?;
                Ok(Checked { draft, certificate, new, strict: false })
            }));
        }
        checked
    }

    fn before_signature(&self, now: Time, payment: Payment, facts: &dyn Records) -> Result<Before, Halt> {
        let (certificate, new) = self.certificate(now, payment.certificate, facts)?;
        check_clock(facts, now)?;
        let draft = payment.draft;
        if draft.claimed_signer() != certificate.holder {
            return Err(Refusal::new(Code::Certificate, "the certificate is not the one of who signed").into());
        }
        let body = draft.peek().map_err(Refusal::from)?;
        self.check_body(now, &body, &certificate)?;
        Ok((draft, certificate, new))
    }

    fn certificate(
        &self,
        now: Time,
        shown: Shown,
        facts: &dyn Records,
    ) -> Result<(Certificate, Option<Signed<Certificate>>), Halt> {
        let known = match &shown {
            Shown::Whole(certificate) => Digest(certificate.digest()),
            Shown::Known(digest) => *digest,
        };
        let before: Option<Certificate> = read(facts, KNOWN, &known.0)?;
        let (certificate, new) = match (before, shown) {
            (Some(certificate), _) => (certificate, None),
            (None, Shown::Whole(signed)) => {
                let certified = Certified::check(signed, self.network, self.authority, now)?;
                (certified.body().clone(), Some(certified.signed().clone()))
            }
            (None, Shown::Known(_)) => {
                let why = "we do not know this certificate: send it whole";
                return Err(Refusal::new(Code::Certificate, why).remedy(Remedy::Mend).into());
            }
        };
        if !certificate.window.contains(now) {
            return Err(Refusal::new(Code::Certificate, "the certificate does not hold now").into());
        }
        if certificate.role != RoleName::Drawer {
            return Err(Refusal::new(Code::Certificate, "this certificate is not one to write drafts under").into());
        }
        Ok((certificate, new))
    }

    fn check_body(&self, now: Time, body: &Draft, certificate: &Certificate) -> Result<(), Refusal> {
        if body.payee != self.key.id() {
            return Err(Refusal::new(Code::NotPayee, "the draft names another payee"));
        }
        if body.bank != self.bank || body.network != self.network {
            return Err(Refusal::new(Code::Order, "the draft is drawn on a bank that we do not take drafts of"));
        }
        if now.after(SKEW) < body.time || body.time.after(self.terms.late_max.max(SKEW)) < now {
            return Err(Refusal::new(Code::Clock, "the draft's time and ours are too far apart"));
        }
        if !certificate.window.contains(body.time) {
            return Err(Refusal::new(Code::Certificate, "the certificate did not hold when the draft was written"));
        }
        if body.deposit_by < now.after(self.terms.life_min) || body.deposit_by > body.time.after(DRAFT_LIFE_MAX) {
            return Err(Refusal::new(Code::Policy, "too little time to deposit the draft, or more than a bank gives"));
        }
        Ok(())
    }
}
