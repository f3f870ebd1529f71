//! One chain is counted on one stream at a time, and what its last payment was for is remembered.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use farthing_core::id::{ChainId, OrderId, PeerId};
use farthing_core::refusal::{Code, Fault, Refusal, Remedy};
use tokio_util::sync::CancellationToken;

/// How many last payments are remembered.
pub const LAST_MAX: usize = 4_096;

/// How often the piece of one payment is handed out again for nothing.
pub const AGAIN_MAX: u8 = 3;

/// How long a buyer that comes back waits until its old stream is given up.
const EVICT_TIME: Duration = Duration::from_secs(5);

/// Which chains are being counted, and what was last paid for with each.
#[derive(Debug, Default)]
pub(super) struct Chains {
    inside: Mutex<Inside>,
}

#[derive(Debug, Default)]
struct Inside {
    open: HashMap<ChainId, Open>,
    last: HashMap<ChainId, Last>,
    clock: u64,
}

#[derive(Debug, Clone)]
struct Open {
    buyer: PeerId,
    evicted: CancellationToken,
    gone: CancellationToken,
}

#[derive(Debug, Clone, Copy)]
struct Last {
    order: OrderId,
    through: u32,
    piece: u64,
    again: u8,
    noted: u64,
}

/// The right to count a chain, until it is dropped.
#[derive(Debug)]
pub(super) struct ChainSeat {
    chains: Arc<Chains>,
    chain: ChainId,
    /// What is bought with it now: a piece paid for under another order is owed to nobody here.
    order: OrderId,
    open: Open,
}

impl Chains {
    /// A seat for `chain`. Counting the same words on two streams would sell two pieces for one
    /// price; so a buyer that comes back has its old stream ended first, and anybody else is
    /// turned away.
    pub(super) async fn sit(
        self: &Arc<Self>,
        chain: ChainId,
        order: OrderId,
        buyer: PeerId,
    ) -> Result<ChainSeat, Refusal> {
        let taken = || Refusal::new(Code::State, "this chain is in use on another stream").remedy(Remedy::Again);
        loop {
            let before = {
                let mut inside = self.inside();
                match inside.open.get(&chain) {
                    None => {
                        let (evicted, gone) = (CancellationToken::new(), CancellationToken::new());
                        let open = Open { buyer, evicted, gone };
                        inside.open.insert(chain, open.clone());
                        return Ok(ChainSeat { chains: Arc::clone(self), chain, order, open });
                    }
                    Some(open) if open.buyer == buyer => open.clone(),
                    Some(_) => return Err(taken()),
                }
            };
            before.evicted.cancel();
            if tokio::time::timeout(EVICT_TIME, before.gone.cancelled()).await.is_err() {
                return Err(taken().blame(Fault::Us));
            }
        }
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ChainSeat {
    /// Returns when the buyer has come back on another stream.
    pub(super) async fn evicted(&self) {
        self.open.evicted.cancelled().await;
    }

    /// Remembers what the payment through this unit was for.
    pub(super) fn note(&self, through: u32, piece: u64) {
        let mut inside = self.chains.inside();
        inside.clock += 1;
        let last = Last { order: self.order, through, piece, again: 0, noted: inside.clock };
        inside.last.insert(self.chain, last);
        if inside.last.len() > LAST_MAX {
            let oldest = inside.last.iter().min_by_key(|(_, last)| last.noted).map(|(chain, _)| *chain);
            oldest.and_then(|oldest| inside.last.remove(&oldest));
        }
    }

    /// What the payment through this unit was for, if it is known.
    pub(super) fn last(&self, through: u32) -> Option<u64> {
        let inside = self.chains.inside();
        let last = inside.last.get(&self.chain)?;
        (last.order == self.order && last.through == through).then_some(last.piece)
    }

    /// Whether that piece may be handed out once more for the payment through this unit.
    pub(super) fn again(&self, through: u32, piece: u64) -> Result<(), Refusal> {
        let mut inside = self.chains.inside();
        let paid = |last: &&mut Last| (last.order, last.through, last.piece) == (self.order, through, piece);
        let last = inside.last.get_mut(&self.chain).filter(paid);
        let last = last.ok_or_else(|| Refusal::new(Code::Amount, "the last payment was not for this piece"))?;
        if last.again >= AGAIN_MAX {
            return Err(Refusal::new(Code::Rate, "this piece was handed out often enough"));
        }
        last.again += 1;
        Ok(())
    }
}

impl Drop for ChainSeat {
    fn drop(&mut self) {
        self.chains.inside().open.remove(&self.chain);
        self.open.gone.cancel();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHAIN: ChainId = ChainId([1; 32]);
    const ORDER: OrderId = OrderId([2; 32]);

    #[tokio::test]
    async fn seller_counts_a_chain_on_one_stream_at_a_time() {
        let chains = Arc::new(Chains::default());
        let buyer = PeerId([1; 32]);
        let first = chains.sit(CHAIN, ORDER, buyer).await.unwrap();
        assert_eq!(chains.sit(CHAIN, ORDER, PeerId([2; 32])).await.unwrap_err().code, Code::State);
        let old = async {
            first.evicted().await;
            drop(first);
        };
        let (second, ()) = tokio::join!(chains.sit(CHAIN, ORDER, buyer), old);
        drop(second.unwrap());
        assert!(chains.sit(CHAIN, ORDER, PeerId([2; 32])).await.is_ok());
    }

    #[tokio::test]
    async fn seller_hands_a_piece_out_again_only_for_the_payment_it_got_and_not_for_ever() {
        let chains = Arc::new(Chains::default());
        let seat = chains.sit(CHAIN, ORDER, PeerId([1; 32])).await.unwrap();
        assert_eq!(seat.last(0), None);
        seat.note(5, 7);
        assert_eq!((seat.last(5), seat.last(4)), (Some(7), None));
        assert_eq!(seat.again(5, 8).unwrap_err().code, Code::Amount);
        assert_eq!(seat.again(4, 7).unwrap_err().code, Code::Amount);
        for _ in 0..AGAIN_MAX {
            seat.again(5, 7).unwrap();
        }
        assert_eq!(seat.again(5, 7).unwrap_err().code, Code::Rate);
        drop(seat);
        let back = chains.sit(CHAIN, ORDER, PeerId([1; 32])).await.unwrap();
        assert_eq!(back.last(5), Some(7), "remembered beyond the visit");
    }
    #[tokio::test]
    async fn seller_owes_nothing_for_a_piece_that_was_paid_for_under_another_order() {
        let chains = Arc::new(Chains::default());
        chains.sit(CHAIN, ORDER, PeerId([1; 32])).await.unwrap().note(5, 0);
        let other = chains.sit(CHAIN, OrderId([3; 32]), PeerId([1; 32])).await.unwrap();
        assert_eq!(other.last(5), None);
        assert_eq!(other.again(5, 0).unwrap_err().code, Code::Amount, "a file for nothing");
        drop(other);
        assert_eq!(chains.sit(CHAIN, ORDER, PeerId([1; 32])).await.unwrap().last(5), Some(0));
    }
}
