//! An operator's questions about other banks, the clearing and drafts.

use farthing_core::id::{PeerId, RequestId};
use farthing_core::sign::SecretKey;
use farthing_core::wire;
use farthing_draft::messages::Finding;

use super::ask::unreadable;
use super::{AskError, BankClient};
use crate::messages::{
    About, CaseList, ChequeList, CustomerReport, JudgeStop, ListCases, OpenPeer, OpenRoute, Pardon, PeerDay, PeerDayOf,
    PeerList, PeerNamed, Progress, SettlePeer, kind,
};

#[allow(clippy::missing_errors_doc, reason = "each fails with AskError, as ask does")]
impl BankClient {
    /// Opens accounts with another bank, or changes its limit or address.
    pub async fn open_peer(&self, key: &SecretKey, id: RequestId, ask: &OpenPeer) -> Result<PeerNamed, AskError> {
        self.call(key, id, kind::OPEN_PEER, ask).await
    }

    /// All peer banks.
    pub async fn peers(&self, key: &SecretKey, id: RequestId) -> Result<PeerList, AskError> {
        let reply = self.ask(key, id, kind::LIST_PEERS, Vec::new()).await?;
        wire::decode(&reply).map_err(|_| unreadable())
    }

    /// Closes the accounts with another bank, once nothing is owed either way.
    pub async fn close_peer(&self, key: &SecretKey, id: RequestId, bank: PeerId) -> Result<PeerNamed, AskError> {
        self.call(key, id, kind::CLOSE_PEER, &PeerNamed { bank }).await
    }

    /// Has cheques on a bank collected by a peer bank.
    pub async fn open_route(&self, key: &SecretKey, id: RequestId, ask: &OpenRoute) -> Result<PeerNamed, AskError> {
        self.call(key, id, kind::OPEN_ROUTE, ask).await
    }

    /// Records money that moved between two banks outside. The asker's approval is the first of two.
    pub async fn settle_peer(&self, key: &SecretKey, id: RequestId, ask: &SettlePeer) -> Result<Progress, AskError> {
        self.call(key, id, kind::SETTLE_PEER, ask).await
    }

    /// How a day's statement of a peer bank compares with this bank's records.
    pub async fn peer_day(&self, key: &SecretKey, id: RequestId, ask: PeerDayOf) -> Result<PeerDay, AskError> {
        self.call(key, id, kind::PEER_DAY, &ask).await
    }

    /// Cheques that other banks have not answered.
    pub async fn cheques_under_way(&self, key: &SecretKey, id: RequestId) -> Result<ChequeList, AskError> {
        let reply = self.ask(key, id, kind::LIST_CHEQUES, Vec::new()).await?;
        wire::decode(&reply).map_err(|_| unreadable())
    }

    /// Accounts that stopped because a number, a log or the books did not fit.
    pub async fn clearing_cases(
        &self,
        key: &SecretKey,
        id: RequestId,
        after: Option<[u8; 16]>,
    ) -> Result<CaseList, AskError> {
        self.call(key, id, kind::LIST_CASES, &ListCases { after }).await
    }

    /// Lets a customer whose books differed compare them again.
    pub async fn settle_dispute(&self, key: &SecretKey, id: RequestId, customer: PeerId) -> Result<About, AskError> {
        self.call(key, id, kind::SETTLE_DISPUTE, &About { customer }).await
    }

    /// Replaces the key that a customer shares with the bank: it enrols and compares books again.
    pub async fn retire_key(&self, key: &SecretKey, id: RequestId, customer: PeerId) -> Result<About, AskError> {
        self.call(key, id, kind::RETIRE_KEY, &About { customer }).await
    }

    /// Lets a key whose drafts did not agree with its log begin again.
    pub async fn pardon(&self, key: &SecretKey, id: RequestId, holder: PeerId) -> Result<Pardon, AskError> {
        self.call(key, id, kind::PARDON, &Pardon { key: holder }).await
    }

    /// Decides a stopped draft.
    pub async fn judge_stop(
        &self,
        key: &SecretKey,
        id: RequestId,
        payer: PeerId,
        number: u64,
        finding: Finding,
    ) -> Result<JudgeStop, AskError> {
        self.call(key, id, kind::JUDGE_STOP, &JudgeStop { payer, number, finding }).await
    }

    /// Where a customer stands.
    pub async fn report(&self, key: &SecretKey, id: RequestId, customer: PeerId) -> Result<CustomerReport, AskError> {
        self.call(key, id, kind::REPORT, &About { customer }).await
    }
}
