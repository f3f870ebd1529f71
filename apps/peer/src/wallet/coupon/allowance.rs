//! What each tool of a program may spend, counted in blocks like everything else.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use farthing_core::amount::Amount;
use farthing_role::Context;

use crate::wallet::Wallet;
use crate::wallet::error::WalletError;
use crate::wallet::policy;

/// The most tools told apart; a name beyond is refused.
const TOOLS_MAX: usize = 1_024;

/// The longest name of a tool, in bytes.
const TOOL_MAX: usize = 64;

/// So many payments' worth is counted at once.
const BLOCK: u64 = 16;

/// What was counted for each tool and is not spent yet.
#[derive(Default)]
pub(super) struct Allowances(Mutex<HashMap<String, Amount>>);

impl Allowances {
    fn left(&self) -> MutexGuard<'_, HashMap<String, Amount>> {
        // A panic leaves it whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes from what is counted, if it is enough.
    fn take(&self, tool: &str, price: Amount) -> bool {
        let mut left = self.left();
        let Some(rest) = left.get(tool).and_then(|left| left.checked_sub(price).ok()) else { return false };
        left.insert(tool.to_owned(), rest);
        true
    }

    /// Puts back what a payment did not cost, or what was newly counted.
    pub(super) fn put(&self, tool: &str, back: Amount) {
        let mut left = self.left();
        let sum = left.get(tool).map_or(Ok(back), |left| left.checked_add(back));
        left.insert(tool.to_owned(), sum.unwrap_or(back));
    }
}

impl Wallet {
    /// Gives back what was counted for tools and is not spent: the last block of each.
    pub(super) async fn flush_tools(&self) -> Result<(), WalletError> {
        let left: Vec<_> = self.inner.coupons.allowances.left().drain().filter(|(_, left)| !left.is_zero()).collect();
        if left.is_empty() {
            return Ok(());
        }
        let given_back = move |cx: &mut Context<'_>| {
            left.iter().try_for_each(|(tool, back)| policy::give_tool_back(cx.tx, tool, *back))?;
            Ok(())
        };
        Ok(self.inner.handle.transact(given_back).await?)
    }

    /// Counts a payment of a tool, if its cap allows that. Without a cap nothing is counted.
    pub(super) async fn allow_tool(&self, tool: &str, price: Amount) -> Result<(), WalletError> {
        let Some(cap) = self.inner.settings.policy.per_tool else { return Ok(()) };
        let allowances = &self.inner.coupons.allowances;
        while !allowances.take(tool, price) {
            if tool.is_empty() || tool.len() > TOOL_MAX || allowances.left().len() >= TOOLS_MAX {
                return Err(WalletError::Order("by a tool without a proper name, or by one of too many"));
            }
            let (name, block) = (tool.to_owned(), price.checked_mul(BLOCK).unwrap_or(price));
            let counted = move |cx: &mut Context<'_>| {
                let more = policy::charge_tool(cx.tx, &name, cap, block)?;
                if more.is_ok() { Ok(more) } else { policy::charge_tool(cx.tx, &name, cap, price).map_err(Into::into) }
            };
            let more = self.inner.handle.transact(counted).await??;
            allowances.put(tool, more);
        }
        Ok(())
    }
}
