//! Where requests arrive: from bytes to a signed answer.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::http::StatusCode;
use farthing_core::cert::Certificate;
use farthing_core::id::{NetworkId, PeerId};
use farthing_core::refusal::{Code, Fault, Money, Refusal, Remedy};
use farthing_core::seal::{SealKey, Sealed};
use farthing_core::sign::{SecretKey, Signed};
use farthing_core::wire;
use farthing_draft::messages::{Reply, kind as draft};
use farthing_driver::{Clock, DriverHandle, NoReply};
use farthing_net::http::problem::Problem;
use farthing_role::{Context, Halt, Request, RequestBody, Role};
use farthing_store::Overlay;
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

use super::SharedClock;
use crate::messages::{Answer, AnswerOutcome, Closed, REQUEST_MESSAGE_MAX, kind};
use crate::role::{BankRole, is_question};
use crate::signer::CertificateSigner;

/// How long to wait before a request that was not taken is sent again.
const RETRY_SECONDS: u64 = 1;
/// Customers whose rates are remembered before those long silent are forgotten.
const RATES_MAX: usize = 100_000;
/// How often that is looked at: every so many requests.
const TIDY_EVERY: u64 = 4_096;

/// All that answering takes.
pub(super) struct Desk {
    pub(super) network: NetworkId,
    pub(super) key: Arc<SecretKey>,
    pub(super) seal: SealKey,
    pub(super) driver: DriverHandle,
    /// For questions, which need no commit.
    pub(super) role: Arc<BankRole>,
    pub(super) signer: Arc<dyn CertificateSigner>,
    pub(super) clock: SharedClock,
    pub(super) rates: Rates,
}

/// How fast each customer asks.
pub(super) struct Rates {
    limiter: DefaultKeyedRateLimiter<PeerId>,
    asked: AtomicU64,
}

/// So many requests in each second, and twice as many at once.
pub(super) fn rates(per_second: u32) -> Rates {
    let rate = NonZeroU32::new(per_second).unwrap_or(NonZeroU32::MIN);
    let quota = Quota::per_second(rate).allow_burst(rate.saturating_mul(const { NonZeroU32::new(2).unwrap() }));
    Rates { limiter: RateLimiter::keyed(quota), asked: AtomicU64::new(0) }
}

impl Rates {
    pub(super) fn check(&self, sender: PeerId) -> Result<(), Problem> {
        if self.asked.fetch_add(1, Ordering::Relaxed).is_multiple_of(TIDY_EVERY) && self.limiter.len() > RATES_MAX {
            self.limiter.retain_recent();
            self.limiter.shrink_to_fit();
        }
        self.limiter.check_key(&sender).map_err(|_| {
            let detail = "too many requests of yours; slow down and send it again";
            Problem::overload(StatusCode::TOO_MANY_REQUESTS, RETRY_SECONDS, detail)
        })
    }
}

impl Desk {
    /// Answers a request. Whatever cannot be laid at the door of a sender is a problem of a size
    /// that does not depend on it; everything else is signed.
    pub(super) async fn answer(&self, bytes: &[u8]) -> Result<Vec<u8>, Problem> {
        let request = self.open(bytes)?;
        self.rates.check(request.sender)?;
        let (digest, kind, id, sender) = (request.digest(), request.kind, request.id, request.sender);
        let asked = if is_question(kind) { self.look(request).await } else { self.driver.submit(request).await };
        let asked = match asked {
            Ok(reply) => self.certified(kind, reply).await.map_err(NoReply::Refused),
            asked => asked,
        };
        let name = kind::name(kind);
        let (told, outcome) = match asked {
            Ok(reply) => ("done", AnswerOutcome::Done(reply)),
            // Not refusals of this request, but of any just now.
            Err(NoReply::Refused(why)) if why.code == Code::Rate => return Err(later(why.detail)),
            Err(NoReply::Down) => return Err(later("the bank is closing; send it again in a while".into())),
            Err(NoReply::Unknown) => return Err(unknown_yet()),
            Err(NoReply::Refused(why)) => {
                tracing::info!(kind = name, sender = %sender.short(), id = %id, code = ?why.code, "refused");
                ("refused", AnswerOutcome::Refused(why))
            }
        };
        metrics::counter!("farthing_bank_requests_total", "kind" => name, "outcome" => told).increment(1);
        tracing::debug!(kind = name, sender = %sender.short(), id = %id, outcome = told, "answered");
        Ok(wire::encode(&self.key.sign(self.network, &Answer { request: digest, outcome })))
    }

    /// From bytes to a request whose sender is known, and which is meant for this bank.
    fn open(&self, bytes: &[u8]) -> Result<Request, Refusal> {
        let sealed: Sealed<Signed<RequestBody>> = wire::decode(bytes)?;
        let signed = self.seal.open(self.network, &sealed)?;
        let verified = signed.verify(self.network)?;
        if verified.body().to != self.key.id() {
            return Err(Refusal::new(Code::Decrypt, "the request is addressed to another bank"));
        }
        if verified.body().message.len() > REQUEST_MESSAGE_MAX {
            return Err(Refusal::new(Code::Limit, "the request is too long: ask for less at once"));
        }
        Ok(Request::signed(verified))
    }

    /// Answers a question by what was last committed. Whatever the role may write is dropped.
    async fn look(&self, request: Request) -> Result<Vec<u8>, NoReply> {
        let now = self.clock.now();
        if !request.is_timely(now) {
            let why = "the question is too old, or your clock is ahead: ask anew";
            return Err(Refusal::new(Code::Expired, why).remedy(Remedy::Mend).into());
        }
        let snapshot = self.driver.snapshot().await?;
        let mut overlay = Overlay::new(&*snapshot);
        let sender = request.sender;
        let checked = self.role.check(now, vec![request], &overlay).pop();
        let answered = checked.unwrap_or_else(|| Err(Refusal::new(Code::State, "not checked").into()));
        let answered = answered.and_then(|checked| {
            let mut cx = Context { now, dice: [0; 32], tx: &mut overlay };
            self.role.apply(&mut cx, sender, checked)
        });
        match answered {
            Ok(outcome) => Ok(outcome.reply),
            Err(Halt::Refused(why)) => Err(why.into()),
            Err(Halt::Store(fault)) => {
                tracing::error!(%fault, "a question could not be answered");
                Err(NoReply::Down)
            }
        }
    }

    /// The reply as it leaves: where it words a certificate, that is signed now that it is committed.
    async fn certified(&self, kind: u16, reply: Vec<u8>) -> Result<Vec<u8>, Refusal> {
        match kind {
            kind::CERTIFY => Ok(wire::encode(&self.sign(wire::decode(&reply)?).await?)),
            draft::CLOSE => {
                let Reply { said, certificate } = wire::decode(&reply)?;
                let certificate = match certificate {
                    Some(wording) => Some(self.sign(wording).await?),
                    None => None,
                };
                Ok(wire::encode(&Closed { said, certificate }))
            }
            _ => Ok(reply),
        }
    }

    async fn sign(&self, wording: Certificate) -> Result<Signed<Certificate>, Refusal> {
        self.signer.sign(wording).await.map_err(|why| {
            tracing::error!(%why, "no certificate was signed");
            let why = "the bank's signer does not answer: ask again with the very same request";
            Refusal::new(Code::State, why).blame(Fault::Us).money(Money::Unmoved).remedy(Remedy::Again)
        })
    }
}

/// Nothing was done, and the very same may be sent again.
pub(super) fn later(detail: std::borrow::Cow<'static, str>) -> Problem {
    Problem::overload(StatusCode::SERVICE_UNAVAILABLE, RETRY_SECONDS, detail)
}

/// It may have been done, and only asking again tells.
pub(super) fn unknown_yet() -> Problem {
    let detail = "the bank does not know yet what came of it; ask again with the very same request";
    Problem::outcome_unknown(StatusCode::SERVICE_UNAVAILABLE, detail)
}
