//! Peer banks: accounts with them, and how much they may owe us. Opened by the operator.

use farthing_core::amount::{Amount, Currency};
use farthing_core::id::{AccountId, NetworkId, PeerId};
use farthing_core::refusal::{Code, Refusal, Remedy};
use farthing_core::wire;
use farthing_ledger::{Account, AccountKind, Ledger, StoreFault};
use farthing_role::{Context, Halt, Records};

use super::Interbank;
use super::records::{self, PEERS, PeerRecord, ROUTES, RouteRecord, Taker};

/// What the operator of a bank agrees on with that of another.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PeerTerms {
    /// The key that signs the other bank's statements.
    pub bank: PeerId,
    /// The network of its customers.
    pub network: NetworkId,
    /// The most it may owe us, cheques under way included; in the currency of the accounts.
    pub limit: Amount,
}

/// How this bank stands with a peer bank.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Position {
    /// Micros the peer owes us for what it cleared; below nothing, what we owe it.
    pub owed: i128,
    /// Micros of cheques that it has not answered.
    pub collecting: i128,
    /// The most both may be together.
    pub limit: Amount,
}

impl Interbank {
    /// Opens the accounts with a peer bank, or changes the limit. Operator's work.
    ///
    /// # Errors
    /// [`Halt`]: the bank itself, or its own network under another's name.
    pub fn open_peer(&self, cx: &mut Context<'_>, terms: PeerTerms) -> Result<(), Halt> {
        if terms.bank == self.bank() || terms.network == self.network {
            return Err(Refusal::new(Code::Malformed, "a bank has no accounts with itself").into());
        }
        let currency = terms.limit.currency();
        let key = records::pair_key(terms.bank, currency);
        let before: Option<PeerRecord> = records::read(&*cx.tx, PEERS, &key)?;
        if before.as_ref().is_some_and(|before| before.network != terms.network) {
            return Err(Refusal::new(Code::Conflict, "the peer bank was opened with another network").into());
        }
        for account in [self.settlement(terms.bank, currency), self.collection(terms.bank, currency)] {
            Ledger(&mut *cx.tx).open(Account::new(account, AccountKind::World, currency, Some(terms.bank), cx.now))?;
        }
        let open_day = before.map_or(0, |before| before.open_day);
        let record = PeerRecord { network: terms.network, limit: terms.limit, open_day, closed: None };
        cx.tx.put(PEERS, &key, wire::encode(&record));
        Ok(())
    }

    /// Closes the accounts with a peer bank: nothing is taken from it or sent to it any more, until it
    /// is opened again. What was paid before is still stated and compared. Operator's work.
    ///
    /// # Errors
    /// [`Halt`]: no such accounts, or something is owed between the two, or a cheque is under way to
    /// that bank or for it.
    pub fn close_peer(&self, cx: &mut Context<'_>, bank: PeerId, currency: Currency) -> Result<(), Halt> {
        let mut peer = self.peer(cx, bank, currency)?;
        let Position { owed, collecting, .. } = self.position(cx, bank, currency)?;
        let brought = cx.tx.account(self.provisional(Taker::Bank(bank), currency))?.map_or(0, |held| held.balance());
        if owed != 0 || collecting != 0 || brought != 0 {
            let why = "something is owed or under way between the two banks: settle it first";
            return Err(Refusal::new(Code::State, why).remedy(Remedy::Stop).into());
        }
        peer.closed = peer.closed.or(Some(cx.now));
        cx.tx.put(PEERS, &records::pair_key(bank, currency), wire::encode(&peer));
        Ok(())
    }

    /// Whether accounts with a bank are open.
    ///
    /// # Errors
    /// [`StoreFault`].
    pub fn is_peer(&self, tx: &dyn Records, bank: PeerId, currency: Currency) -> Result<bool, StoreFault> {
        Ok(open_peer(tx, bank, currency)?.is_some())
    }

    /// Has cheques on `bank`, with which there are no accounts, collected by a peer bank. Operator's
    /// work.
    ///
    /// # Errors
    /// [`Halt`]: no accounts with the peer, or a route to itself.
    pub fn open_route(
        &self,
        cx: &mut Context<'_>,
        bank: PeerId,
        network: NetworkId,
        currency: Currency,
        via: PeerId,
    ) -> Result<(), Halt> {
        if bank == self.bank() || bank == via || network == self.network {
            return Err(Refusal::new(Code::Malformed, "a route leads to another bank by way of a third").into());
        }
        self.peers_only(cx, via, currency)?;
        cx.tx.put(ROUTES, &records::pair_key(bank, currency), wire::encode(&RouteRecord { network, via }));
        Ok(())
    }

    /// How this bank stands with a peer bank.
    ///
    /// # Errors
    /// [`Halt`]: no accounts with it in this currency.
    pub fn position(&self, cx: &Context<'_>, bank: PeerId, currency: Currency) -> Result<Position, Halt> {
        let limit = self.peer(cx, bank, currency)?.limit;
        let owed = |account| -> Result<i128, StoreFault> {
            Ok(cx.tx.account(account)?.map_or(0, |account: Account| -account.balance()))
        };
        let (settlement, collection) = (self.settlement(bank, currency), self.collection(bank, currency));
        Ok(Position { owed: owed(settlement)?, collecting: owed(collection)?, limit })
    }

    /// The peer bank to which a cheque on `drawee` goes next, in the network that its bank must be in.
    pub(super) fn next_bank(
        &self,
        cx: &Context<'_>,
        drawee: PeerId,
        currency: Currency,
    ) -> Result<(PeerId, NetworkId), Halt> {
        if let Some(peer) = open_peer(&*cx.tx, drawee, currency)? {
            return Ok((drawee, peer.network));
        }
        let unknown = || {
            let why = "this bank knows no way to the bank of the cheque in its currency; ask the operator";
            Refusal::new(Code::Unknown, why).remedy(Remedy::Appeal)
        };
        let route: Option<RouteRecord> = records::read(&*cx.tx, ROUTES, &records::pair_key(drawee, currency))?;
        let RouteRecord { network, via } = route.ok_or_else(unknown)?;
        open_peer(&*cx.tx, via, currency)?.ok_or_else(unknown)?;
        Ok((via, network))
    }

    /// A peer bank, its accounts closed perhaps: for what was agreed and said before.
    pub(super) fn peer(&self, cx: &Context<'_>, bank: PeerId, currency: Currency) -> Result<PeerRecord, Halt> {
        Ok(records::read(&*cx.tx, PEERS, &records::pair_key(bank, currency))?.ok_or_else(no_accounts)?)
    }

    /// Refuses a bank with which no accounts are open.
    pub(super) fn peers_only(&self, cx: &Context<'_>, bank: PeerId, currency: Currency) -> Result<(), Halt> {
        open_peer(&*cx.tx, bank, currency)?.ok_or_else(no_accounts)?;
        Ok(())
    }

    /// Refuses a claim that would make a peer bank owe more than was agreed.
    pub(super) fn check_limit(&self, cx: &Context<'_>, bank: PeerId, more: Amount) -> Result<(), Halt> {
        let position = self.position(cx, bank, more.currency())?;
        let claims = position.owed + position.collecting + i128::from(more.as_micros());
        if claims > i128::from(position.limit.as_micros()) {
            let why = "the next bank owes this one as much as was agreed; deposit again after they have settled";
            return Err(Refusal::new(Code::Limit, why).remedy(Remedy::Again).into());
        }
        Ok(())
    }

    /// What a peer bank owes: credits are what we paid for it, debits what it paid for us.
    pub(super) fn settlement(&self, bank: PeerId, currency: Currency) -> AccountId {
        self.account(AccountKind::World, &[b"settlement", &bank.0], currency)
    }

    /// Cheques that a peer bank has not answered.
    pub(super) fn collection(&self, bank: PeerId, currency: Currency) -> AccountId {
        self.account(AccountKind::World, &[b"collection", &bank.0], currency)
    }
}

/// A peer bank with which accounts are open.
fn open_peer(tx: &dyn Records, bank: PeerId, currency: Currency) -> Result<Option<PeerRecord>, StoreFault> {
    let peer: Option<PeerRecord> = records::read(tx, PEERS, &records::pair_key(bank, currency))?;
    Ok(peer.filter(|peer| peer.closed.is_none()))
}

fn no_accounts() -> Refusal {
    Refusal::new(Code::Unknown, "there are no accounts with this bank in this currency")
}
