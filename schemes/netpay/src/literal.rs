//! The paper's own protocol (Dai and Grundy, 2007, §5), so that its flaws can be shown. For tests,
//! models and simulations; no network node can reach it.
//!
//! Differences that do not matter here: SHA-256 in place of MD5, and messages as values instead of
//! ciphertexts. Everything else is as printed: the broker makes the chain and keeps its seed, the
//! touchstone binds nothing but `IDe` and `W_0`, words name no payee, the signed index names no
//! payee either and does not travel with the redemption, and whoever brings a word first is paid.

use std::collections::{BTreeMap, BTreeSet};

use farthing_core::hash::{Purpose, hash};
use farthing_core::id::PeerId;

/// The paper's `ID_e`.
pub type CoinId = u64;

/// A payword of the paper: plain iterated hashing.
pub type PlainWord = [u8; 32];

/// The paper's `h`.
#[must_use]
pub fn h(word: &PlainWord) -> PlainWord {
    hash(Purpose::ChainId, &[word])
}

/// M3: what a payee checks words against.
#[derive(Clone, Copy, Debug)]
pub struct Touchstone {
    /// Which e-coin.
    pub coin: CoinId,
    /// Its root.
    pub root: PlainWord,
}

/// M2: what the requesting peer gets, all its words.
#[derive(Clone, Debug)]
pub struct Wallet {
    /// Which e-coin.
    pub coin: CoinId,
    /// `W_1` to `W_n`.
    pub words: Vec<PlainWord>,
}

/// The broker: it makes every chain and so knows every word.
#[derive(Debug, Default)]
pub struct Broker {
    chains: BTreeMap<CoinId, (PeerId, Vec<PlainWord>)>,
    redeemed: BTreeMap<CoinId, BTreeSet<usize>>,
    /// Balances of accounts, in units.
    pub balances: BTreeMap<PeerId, i64>,
    /// Peers terminated as double spenders.
    pub blamed: BTreeSet<PeerId>,
}

impl Broker {
    /// M1 to M3: debits the customer and makes its chain of `n` words from a seed.
    pub fn sell(&mut self, customer: PeerId, coin: CoinId, n: usize, seed: PlainWord) -> (Wallet, Touchstone) {
        let mut words = vec![seed];
        for _ in 0..=n {
            words.push(h(words.last().unwrap_or(&seed)));
        }
        words.reverse(); // W_0, W_1, …, W_n, and the seed W_(n+1), which the broker keeps.
        *self.balances.entry(customer).or_default() -= n as i64;
        let wallet = Wallet { coin, words: words[1..=n].to_vec() };
        let touchstone = Touchstone { coin, root: words[0] };
        self.chains.insert(coin, (customer, words));
        (wallet, touchstone)
    }

    /// M6 and M7: pays whoever brings good words; a word brought before marks the customer as a
    /// double spender.
    pub fn redeem(&mut self, payee: PeerId, coin: CoinId, words: &[(usize, PlainWord)]) -> u64 {
        let Some((customer, chain)) = self.chains.get(&coin) else { return 0 };
        let spent = self.redeemed.entry(coin).or_default();
        let mut paid = 0;
        for (index, word) in words {
            if chain.get(*index) != Some(word) {
                continue;
            }
            if spent.insert(*index) {
                paid += 1;
            } else {
                self.blamed.insert(*customer);
            }
        }
        *self.balances.entry(payee).or_default() += paid as i64;
        paid
    }

    /// What the broker could give to an accomplice, had it one.
    #[must_use]
    pub fn words_known(&self, coin: CoinId) -> &[PlainWord] {
        self.chains.get(&coin).map_or(&[], |(_, words)| words)
    }
}

/// M4 at a supplying peer: words are good if they hash down to the touchstone's root. Each is hashed
/// all the way (`h(h(W_2)) = W_0`), as printed, so that `m` words cost `m²/2` hashes.
#[must_use]
pub fn payee_accepts(touchstone: &Touchstone, words: &[(usize, PlainWord)]) -> bool {
    words.iter().all(|(index, word)| (0..*index).fold(*word, |w, _| h(&w)) == touchstone.root)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAYER: PeerId = PeerId([1; 32]);
    const S1: PeerId = PeerId([2; 32]);
    const S2: PeerId = PeerId([3; 32]);

    fn sold() -> (Broker, Wallet, Touchstone) {
        let mut broker = Broker::default();
        let (wallet, touchstone) = broker.sell(PAYER, 1, 10, [9; 32]);
        (broker, wallet, touchstone)
    }

    fn words(wallet: &Wallet, through: usize) -> Vec<(usize, PlainWord)> {
        (1..=through).map(|index| (index, wallet.words[index - 1])).collect()
    }

    #[test]
    fn literal_payee_redeems_words_that_another_received_and_the_honest_payer_is_blamed() {
        let (mut broker, wallet, touchstone) = sold();
        let paid_to_s1 = words(&wallet, 3);
        assert!(payee_accepts(&touchstone, &paid_to_s1));
        // S1 passes what it holds to its accomplice S2, which redeems first; then S1 does.
        assert_eq!(broker.redeem(S2, 1, &paid_to_s1), 3);
        assert_eq!(broker.redeem(S1, 1, &paid_to_s1), 0);
        assert!(broker.blamed.contains(&PAYER), "the payer paid once and is called a cheat");
    }

    #[test]
    fn literal_payer_spends_the_same_words_at_two_payees_and_neither_can_tell() {
        let (mut broker, wallet, touchstone) = sold();
        let twice = words(&wallet, 5);
        assert!(payee_accepts(&touchstone, &twice), "S1 serves");
        assert!(payee_accepts(&touchstone, &twice), "S2 serves");
        assert_eq!(broker.redeem(S1, 1, &twice) + broker.redeem(S2, 1, &twice), 5, "and one of them is not paid");
    }

    #[test]
    fn literal_broker_can_spend_what_it_sold() {
        let (mut broker, wallet, _) = sold();
        let known: Vec<_> = broker.words_known(1).iter().copied().enumerate().skip(1).take(10).collect();
        assert_eq!(broker.redeem(S2, 1, &known), 10, "an accomplice of the broker empties the chain");
        assert_eq!(broker.redeem(S1, 1, &words(&wallet, 2)), 0);
        assert!(broker.blamed.contains(&PAYER));
    }

    #[test]
    fn literal_later_word_reveals_the_earlier_ones() {
        let (mut broker, wallet, _) = sold();
        // S2 was paid word 6 only; words 1 to 5 were for S1.
        let mut own = vec![(6, wallet.words[5])];
        for index in (1..6).rev() {
            own.push((index, h(&own[own.len() - 1].1)));
        }
        assert_eq!(broker.redeem(S2, 1, &own), 6);
    }
}
