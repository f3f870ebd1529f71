//! Reconciliation (KSF-R1 to R3): the two sides compare their books, and who shows its whole log may
//! write on.

use farthing_core::amount::Amount;
use farthing_core::cert::{CERTIFICATE_LIFE_MAX, Certificate, Limits, RoleName};
use farthing_core::hash::{Purpose, hash};
use farthing_core::id::PeerId;
use farthing_core::refusal::{Code, Refusal, Remedy};
use farthing_core::sign::{Signed, Verified};
use farthing_core::time::{SKEW, Span, Window};
use farthing_core::wire::{self, Bounded};
use farthing_role::{Context, Halt, Records, Scan};

use super::Drafts;
use super::records::{self, CERTIFICATES, COUNTS, HOLDERS, Holder, Issued, Mark, RECEIVED, WALKS, Walk};
use crate::messages::{Agreement, Closing, DRAFT_LIFE_MAX, Digest, Opening, Reconcile, Reconciled, Reply};
use crate::rows::{decode, read};

/// After so long a draft in a reconciled log can be deposited no more: its life, and certificates
/// that overlap.
const FORGOTTEN_AFTER: Span = Span::from_millis(DRAFT_LIFE_MAX.as_millis() + CERTIFICATE_LIFE_MAX.as_millis());

impl Drafts {
    /// KSF-R1: says from where the holder's log must go on.
    ///
    /// The copy of the wallet that has the certificate goes on where it was. Any other one, restored
    /// from a backup or from 24 words, waits until that certificate has ended, and then begins a new
    /// epoch: so two copies of one wallet never both hold a certificate.
    ///
    /// # Errors
    /// [`Halt`]: not enrolled, suspended, or another copy still holds a certificate.
    pub fn reconcile(&self, cx: &mut Context<'_>, key: PeerId, ask: &Reconcile) -> Result<Signed<Opening>, Halt> {
        let holder = records::holder(&*cx.tx, key)?;
        self.collect(cx, holder.account)?;
        self.not_suspended(cx, &holder)?;
        let (from, epoch) = if holder.copy.is_none_or(|copy| copy == ask.copy) {
            (holder.known, holder.epoch)
        } else {
            let free = holder.certified_until.after(SKEW);
            if cx.now < free {
                let why = format!(
                    "another copy of this wallet holds a certificate: if it is lost, come back when that has ended, \
                     in {} minutes",
                    free.since(cx.now).as_millis().div_ceil(60_000)
                );
                return Err(Refusal::new(Code::Epoch, why).remedy(Remedy::Again).into());
            }
            let epoch = holder.epoch.checked_add(1);
            let epoch = epoch.ok_or_else(|| Refusal::new(Code::Limit, "this key was restored too often"))?;
            let received: u64 = read(&*cx.tx, RECEIVED, &key.0)?.unwrap_or_default();
            (holder.known.in_epoch(epoch, received), epoch)
        };
        let nonce = Digest(hash(Purpose::Request, &[b"draft reconcile", &key.0, &cx.dice]));
        let opening = Opening { nonce, holder: key, from, copy: ask.copy, time: cx.now };
        let opening = self.key.sign(self.chart.network, &opening);
        let walk = Walk {
            opening: Digest(opening.digest()),
            copy: ask.copy,
            epoch,
            at: from,
            problems: Vec::new(),
            outstanding: self.chart.currency.zero(),
            entries: 0,
        };
        cx.tx.put(WALKS, &key.0, wire::encode(&walk));
        Ok(opening)
    }

    /// The end of KSF-R2, and KSF-R3: where the books agree, what the next certificate says. The
    /// caller has it signed by the offline key after the commit. Where they do not, what is the
    /// matter; whoever concealed something is suspended.
    ///
    /// # Errors
    /// [`Halt`]: out of turn, not the log that was read, a limit.
    pub fn close(&self, cx: &mut Context<'_>, key: PeerId, closing: Signed<Closing>) -> Result<Reply, Halt> {
        let closing = closing.verify_by(self.chart.network, key).map_err(Refusal::from)?;
        let mut holder = records::holder(&*cx.tx, key)?;
        self.not_suspended(cx, &holder)?;
        let mut walk = self.walk(cx, key, closing.body().opening)?;
        let body = closing.body();
        if body.log != walk.at {
            let why = "this is not the log whose pages were sent: begin the reconciliation again";
            return Err(Refusal::new(Code::Log, why).into());
        }
        if cx.now.after(SKEW) < body.time || body.time.after(SKEW) < cx.now {
            return Err(Refusal::new(Code::Expired, "the closing was signed too long ago: sign another").into());
        }
        self.find_concealed(cx, &closing, &holder, &mut walk)?;
        cx.tx.delete(WALKS, &key.0);
        let (result, certificate) = if walk.problems.is_empty() {
            holder.known = walk.at;
            holder.epoch = walk.epoch;
            holder.copy = Some(walk.copy);
            holder.outstanding = holder.outstanding.checked_add(walk.outstanding).map_err(Refusal::from)?;
            move_mark(&mut holder, cx);
            let certificate = body.wanted.map(|wanted| self.certify(cx, key, &mut holder, wanted)).transpose()?;
            (Agreement::Agreed(certificate.as_ref().map(|certificate| certificate.serial)), certificate)
        } else {
            self.suspend(cx, holder.account)?;
            (Agreement::Problems(Bounded::new(walk.problems).unwrap_or_else(Bounded::empty)), None)
        };
        cx.tx.put(HOLDERS, &key.0, wire::encode(&holder));
        Ok(Reply { said: self.say(cx, &holder, &closing, result)?, certificate })
    }

    fn say(
        &self,
        cx: &Context<'_>,
        holder: &Holder,
        closing: &Verified<Closing>,
        result: Agreement,
    ) -> Result<Signed<Reconciled>, Halt> {
        let (debts, credit) = self.owed(cx, holder.account)?;
        let account = cx.tx.account(self.chart.customer(holder.account))?;
        let balance = account.and_then(|account| account.available_amount());
        let said = Reconciled {
            closing: Digest(closing.digest()),
            result,
            balance: balance.unwrap_or_else(|| self.chart.currency.zero()),
            owed: debts.checked_add(credit).map_err(Refusal::from)?,
            outstanding: holder.outstanding,
            time: cx.now,
        };
        Ok(self.key.sign(self.chart.network, &said))
    }

    fn certify(
        &self,
        cx: &mut Context<'_>,
        key: PeerId,
        holder: &mut Holder,
        wanted: Amount,
    ) -> Result<Certificate, Halt> {
        let limits = self.terms.limits;
        if wanted.currency() != self.chart.currency || wanted.is_zero() {
            return Err(Refusal::new(Code::Amount, "a limit of nothing, or in another currency").into());
        }
        if !self.owed(cx, holder.account)?.0.is_zero() {
            return Err(Refusal::new(Code::Funds, "you owe for drafts that could not be paid: fund the account").into());
        }
        // The last certificate may hold still; payees go by the higher of the two.
        let live = |holder: &Holder| cx.now < holder.certified_until.after(SKEW);
        let total = if live(holder) && holder.total.as_micros() > wanted.as_micros() { holder.total } else { wanted };
        let mut all = total;
        for other in self.keys_of(cx, holder.account)? {
            let other_holder = records::holder(&*cx.tx, other)?;
            if other != key && live(&other_holder) {
                all = all.checked_add(other_holder.total).map_err(Refusal::from)?;
            }
        }
        if all.as_micros() > limits.total.as_micros() {
            let why = format!("all certificates of one account together may state at most {}", limits.total);
            return Err(Refusal::new(Code::Limit, why).into());
        }
        let serial = read::<u64>(&*cx.tx, COUNTS, b"certificates")?.unwrap_or_default().saturating_add(1);
        cx.tx.put(COUNTS, b"certificates", wire::encode(&serial));
        // Holds at once for those whose clocks are behind.
        let from = cx.now.before(SKEW);
        let window = Window { from, to: from.after(self.terms.certificate_life.min(CERTIFICATE_LIFE_MAX)) };
        let issued = Issued { holder: key, window, epoch: holder.epoch };
        cx.tx.put(CERTIFICATES, &serial.to_be_bytes(), wire::encode(&issued));
        holder.certified_until = holder.certified_until.max(window.to);
        holder.total = total;
        let deposit = cx.tx.account(self.chart.deposit(holder.account))?;
        let deposit = deposit.and_then(|deposit| deposit.available_amount());
        let per_item = if limits.per_item.as_micros() < wanted.as_micros() { limits.per_item } else { wanted };
        Ok(Certificate {
            holder: key,
            seal: holder.seal,
            role: RoleName::Drawer,
            serial,
            window,
            limits: Limits { per_item, total: wanted },
            log_head: holder.known.commitment(),
            deposit: deposit.unwrap_or_else(|| self.chart.currency.zero()),
        })
    }

    pub(super) fn walk(&self, cx: &Context<'_>, key: PeerId, opening: Digest) -> Result<Walk, Halt> {
        let walk: Option<Walk> = read(&*cx.tx, WALKS, &key.0)?;
        let again = || Refusal::new(Code::Reconcile, "no such reconciliation is open: begin again");
        Ok(walk.filter(|walk| walk.opening == opening).ok_or_else(again)?)
    }

    /// The issue log: certificates by number, each with its holder and time, at most `limit` after
    /// the one given. The bank publishes it, so that one it never meant to issue is seen.
    ///
    /// # Errors
    /// [`Halt::Store`].
    pub fn issued(&self, tx: &dyn Records, after: u64, limit: usize) -> Result<Vec<(u64, PeerId, Window)>, Halt> {
        let after = after.to_be_bytes();
        let rows = tx.scan(CERTIFICATES, Scan { prefix: &[], after: Some(&after), limit })?;
        let mut issued = Vec::with_capacity(rows.len());
        for (key, row) in rows {
            let serial = key.first_chunk().map_or(0, |serial| u64::from_be_bytes(*serial));
            let Issued { holder, window, .. } = decode(CERTIFICATES, &row)?;
            issued.push((serial, holder, window));
        }
        Ok(issued)
    }

    /// An operator lets a holder whose books did not agree begin again, in a new epoch. What it had
    /// written before is paid when it comes.
    ///
    /// # Errors
    /// [`Halt`]: no such holder.
    pub fn pardon(&self, cx: &mut Context<'_>, key: PeerId) -> Result<Holder, Halt> {
        let mut holder = records::holder(&*cx.tx, key)?;
        let too_often = || Refusal::new(Code::Limit, "this key was restored too often");
        let received: u64 = read(&*cx.tx, RECEIVED, &key.0)?.unwrap_or_default();
        holder.epoch = holder.epoch.checked_add(1).ok_or_else(too_often)?;
        holder.known = holder.known.in_epoch(holder.epoch, received);
        (holder.copy, holder.problem) = (None, None);
        cx.tx.delete(WALKS, &key.0);
        cx.tx.put(HOLDERS, &key.0, wire::encode(&holder));
        Ok(holder)
    }

    fn not_suspended(&self, cx: &Context<'_>, holder: &Holder) -> Result<(), Halt> {
        let account = cx.tx.account(self.chart.customer(holder.account))?;
        if account.is_none_or(|account| account.frozen) {
            let why = "your account is suspended: it gets no certificate; fund it if you owe, and ask the operator";
            return Err(Refusal::new(Code::Suspended, why).into());
        }
        Ok(())
    }
}

/// Notes how far the log has come, once in a while, so that old entries can be forgotten.
fn move_mark(holder: &mut Holder, cx: &Context<'_>) {
    match holder.mark {
        Some(mark) if cx.now < mark.at.after(FORGOTTEN_AFTER) => return,
        Some(mark) => holder.forget = mark.through,
        None => {}
    }
    holder.mark = Some(Mark { at: cx.now, through: holder.known.outgoing.n });
}
