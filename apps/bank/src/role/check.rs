//! Checking many requests at once: what is dear is done for all of them together.

use farthing_core::id::{PeerId, RequestId};
use farthing_core::refusal::{Code, Refusal};
use farthing_coupon::bank::ClearRequest;
use farthing_coupon::messages::kind as coupon;
use farthing_draft::bank::DepositRequest;
use farthing_draft::interbank::messages::kind as cheque;
use farthing_draft::messages::kind as draft;
use farthing_netpay::bank::ClaimRequest;
use farthing_netpay::messages::kind as netpay;
use farthing_role::{Halt, Records, Request};

use super::ask::{self, Ask};
use super::drafts::{ChequeAsk, DraftAsk};
use super::{BankRole, Checked};
use crate::chart::{CUSTOMERS, no_account};

/// Requests of one kind on their way through a check of many, each with its place in the row.
struct Gathered<R> {
    places: Vec<(usize, RequestId, u64)>,
    requests: Vec<R>,
}

impl<R> Gathered<R> {
    const fn none() -> Self {
        Self { places: Vec::new(), requests: Vec::new() }
    }

    fn add(&mut self, place: usize, (id, epoch): (RequestId, u64), request: R) {
        self.places.push((place, id, epoch));
        self.requests.push(request);
    }

    /// Has all of them checked at once and puts each where it belongs.
    fn check<C>(
        self,
        answers: &mut [Option<Result<Checked, Halt>>],
        check: impl FnOnce(Vec<R>) -> Vec<Result<C, Halt>>,
        ask: impl Fn(C) -> Ask,
    ) {
        if self.requests.is_empty() {
            return;
        }
        for ((at, id, epoch), checked) in self.places.into_iter().zip(check(self.requests)) {
            if let Some(place) = answers.get_mut(at) {
                *place = Some(checked.map(|checked| Checked { id, epoch, ask: ask(checked) }));
            }
        }
    }
}

impl BankRole {
    pub(super) fn check_all(&self, requests: Vec<Request>, facts: &dyn Records) -> Vec<Result<Checked, Halt>> {
        let (mut claims, mut clearings, mut deposits) = (Gathered::none(), Gathered::none(), Gathered::none());
        let mut answers: Vec<Option<Result<Checked, Halt>>> = Vec::with_capacity(requests.len());
        for (at, request) in requests.into_iter().enumerate() {
            let Request { id, kind, epoch, .. } = request;
            let about = (id, epoch);
            answers.push(match kind {
                netpay::CLAIM => claim_of(request, facts).map(|claim| claims.add(at, about, claim)).err().map(Err),
                coupon::CLEAR => {
                    clearing_of(request, facts).map(|clear| clearings.add(at, about, clear)).err().map(Err)
                }
                draft::DEPOSIT => {
                    self.deposit_of(request, facts).map(|items| deposits.add(at, about, items)).err().map(Err)
                }
                _ => Some(self.check_one(request, facts).map(|ask| Checked { id, epoch, ask })),
            });
        }
        claims.check(&mut answers, |all| self.netpay.check_claims(all, facts), |claims| Ask::Claim(Box::new(claims)));
        clearings.check(
            &mut answers,
            |all| self.coupons.check_clearings(all, facts),
            |some| Ask::Clear(Box::new(some)),
        );
        deposits.check(
            &mut answers,
            |all| self.drafts.check_deposits(all).into_iter().map(Ok).collect(),
            |some| Ask::Draft(DraftAsk::Deposit(Box::new(some))),
        );
        let lost = || Err(Refusal::new(Code::State, "the request was not checked").into());
        answers.into_iter().map(|answer| answer.unwrap_or_else(lost)).collect()
    }

    /// What is not checked together with others of its kind. Whatever is dear is not for strangers:
    /// an authorisation takes three signatures and a decryption, a cheque one for each endorsement.
    fn check_one(&self, request: Request, facts: &dyn Records) -> Result<Ask, Halt> {
        let Request { sender, kind, message, proof, .. } = request;
        Ok(match kind {
            coupon::AUTHORISE => {
                customers_only(sender, facts)?;
                let checked = self.coupons.check_authorise(sender, ask::message(&message)?)?;
                Ask::Authorise(Box::new(checked))
            }
            cheque::PRESENT => {
                self.cheque_bearers_only(facts, sender)?;
                let checked = self.interbank.check(sender, ask::message(&message)?)?;
                Ask::Cheque(ChequeAsk::Present(Box::new(checked)))
            }
            draft::LOG_PAGE => Ask::Draft(DraftAsk::Page(Box::new((ask::message(&message)?, proof)))),
            _ => ask::read(kind, &message)?,
        })
    }

    fn deposit_of(&self, request: Request, facts: &dyn Records) -> Result<DepositRequest, Halt> {
        self.draft_holders_only(facts, request.sender)?;
        let deposit = ask::message(&request.message)?;
        Ok(DepositRequest { payee: request.sender, id: request.id, proof: request.proof, deposit })
    }
}

fn claim_of(request: Request, facts: &dyn Records) -> Result<ClaimRequest, Halt> {
    customers_only(request.sender, facts)?;
    let claims = ask::message(&request.message)?;
    Ok(ClaimRequest { payee: request.sender, id: request.id, proof: request.proof, claims })
}

fn clearing_of(request: Request, facts: &dyn Records) -> Result<ClearRequest, Halt> {
    customers_only(request.sender, facts)?;
    let clearings = ask::message(&request.message)?;
    Ok(ClearRequest { seller: request.sender, id: request.id, proof: request.proof, clearings })
}

/// A stranger's request whose check is dear is turned away before it costs anything: as if it had
/// come before the account was opened, should that be happening just now.
fn customers_only(sender: PeerId, facts: &dyn Records) -> Result<(), Halt> {
    match facts.get(CUSTOMERS, &sender.0)? {
        Some(_) => Ok(()),
        None => Err(no_account().into()),
    }
}
