//! Drafts written and held.

use farthing_core::refusal::Money;
use farthing_draft::messages::Finding;
use farthing_draft::payee::HeldState;
use farthing_peer::wallet::{Outgoing, OutgoingState, Scheme, Wallet};

use super::{Deposited, DraftLine, Drafts};
use crate::fail::Failure;
use crate::peer::Done;
use crate::show::moment;

/// How many letters of a digest name a draft.
const NAME_LETTERS: usize = 8;

/// All drafts.
pub(crate) async fn list(wallet: &Wallet) -> Result<Drafts, Failure> {
    let mut written = Vec::new();
    for (out, life) in written_by(wallet).await? {
        written.push(DraftLine {
            draft: name(&out.instrument),
            number: out.number,
            with: out.payee,
            amount: out.amount,
            order: out.order,
            state: of_written(&out).to_owned(),
            deposit_by: life,
        });
    }
    let held = wallet.drafts_held().await?.into_iter().map(|held| DraftLine {
        draft: name(&held.instrument),
        number: held.number,
        with: held.payer,
        amount: held.amount,
        order: held.order,
        state: of_held(&held.state),
        deposit_by: Some(moment(held.deposit_by)),
    });
    let own = wallet.draft_books().await?.into_iter().find(|book| book.alias.is_none());
    let zero = wallet.settings().currency().zero();
    Ok(Drafts {
        written,
        held: held.collect(),
        left: own.as_ref().map_or(zero, |book| book.left),
        until: own.and_then(|book| book.until).map(moment),
    })
}

async fn written_by(wallet: &Wallet) -> Result<Vec<(Outgoing, Option<String>)>, Failure> {
    let drafts = wallet.payments().await?.into_iter().filter(|out| out.scheme == Scheme::Draft);
    let days = farthing_core::time::Span::from_days(wallet.settings().drafts.life_days);
    Ok(drafts.map(|out| (out.clone(), Some(moment(out.at.after(days))))).collect())
}

fn name(instrument: &[u8; 32]) -> String {
    hex::encode(instrument).chars().take(NAME_LETTERS).collect()
}

const fn of_written(out: &Outgoing) -> &'static str {
    match out.state {
        OutgoingState::Asked => "asked of the bank",
        OutgoingState::ToHandOver => "not acknowledged yet",
        OutgoingState::Unticketed => "the payee learns of it from the bank",
        OutgoingState::Acknowledged if out.given_back => "given back",
        OutgoingState::Acknowledged => "the payee has it",
        OutgoingState::Stopped => "stopped",
        OutgoingState::CameBack => "the money came back",
    }
}

fn of_held(state: &HeldState) -> String {
    match state {
        HeldState::Asking => "the bank is asked first".to_owned(),
        HeldState::Held => "to be deposited".to_owned(),
        HeldState::Sent => "at the bank, unanswered".to_owned(),
        HeldState::Deposited { owed, .. } if owed.is_zero() => "deposited".to_owned(),
        HeldState::Deposited { owed, .. } => format!("deposited, {owed} still owed"),
        HeldState::Stopped { answer_by } => format!("stopped by the payer; answer before {}", moment(*answer_by)),
        HeldState::Lost(why) => format!("lost: {}", why.detail),
        HeldState::GivenBack => "given back".to_owned(),
    }
}

/// Has the bank pay what is held.
pub(crate) async fn deposit(wallet: &Wallet) -> Result<Deposited, Failure> {
    let bank = wallet.connect().await?;
    let done = wallet.deposit_drafts(&bank).await?;
    Ok(Deposited {
        drafts: done.drafts,
        paid: done.paid,
        owed: done.owed,
        stopped: done.stopped,
        refused: done.lost.iter().map(|why| why.detail.to_string()).collect(),
    })
}

/// Has the bank not pay a draft.
pub(crate) async fn stop(wallet: &Wallet, draft: &str) -> Result<Done, Failure> {
    let found = wallet.payments().await?.into_iter().filter(|out| out.scheme == Scheme::Draft);
    let out = one(found.filter(|out| is_named(&out.instrument, draft)).collect(), draft)?;
    let bank = wallet.connect().await?;
    let stopped = wallet.stop_draft(&bank, out.payee, out.order, out.part).await?;
    let until = moment(stopped.until);
    Ok(Done {
        words: format!(
            "The draft over {} is stopped. Its money is set aside, and comes back after {until} UTC unless the payee \
             shows that it delivered.",
            out.amount
        ),
    })
}

/// Shows the bank what became of a draft that was stopped.
pub(crate) async fn dispute(wallet: &Wallet, draft: &str) -> Result<Done, Failure> {
    let made = wallet.payments().await?.into_iter().map(|out| out.instrument);
    let held = wallet.drafts_held().await?.into_iter().map(|held| held.instrument);
    let mut found: Vec<_> = made.chain(held).filter(|instrument| is_named(instrument, draft)).collect();
    found.dedup();
    let instrument = one(found, draft)?;
    let bank = wallet.connect().await?;
    let words = match wallet.dispute(&bank, instrument).await? {
        Finding::Pay => "The bank found that the goods were delivered: the payee is paid.",
        Finding::GiveBack => "The bank found that the draft was given back: its payer has the money again.",
    };
    Ok(Done { words: words.to_owned() })
}

fn is_named(instrument: &[u8; 32], draft: &str) -> bool {
    draft.len() >= NAME_LETTERS && hex::encode(instrument).starts_with(&draft.to_lowercase())
}

fn one<T>(mut found: Vec<T>, draft: &str) -> Result<T, Failure> {
    let shown: String = draft.chars().take(64).collect();
    match (found.pop(), found.is_empty()) {
        (Some(only), true) => Ok(only),
        (Some(_), false) => Err(Failure::usage(format_args!("more than one draft is called {shown:?}"))
            .next("give more letters of its digest: farthing drafts --json")),
        (None, _) => Err(Failure::usage(format_args!("no draft is called {shown:?}"))
            .money(Money::Unmoved)
            .next("see them all: farthing drafts")),
    }
}

#[cfg(test)]
mod tests {
    use farthing_core::amount::Currency;
    use farthing_core::id::{OrderId, PeerId};

    use super::super::words;
    use super::{DraftLine, Drafts};

    #[test]
    fn the_list_shows_the_number_that_an_operator_decides_a_stop_by() {
        let line = DraftLine {
            draft: "3fa91c02".to_owned(),
            number: 4_294_967_311,
            with: PeerId([1; 32]),
            amount: Currency::XTS.zero(),
            order: OrderId([2; 32]),
            state: "stopped".to_owned(),
            deposit_by: None,
        };
        let list = Drafts { written: vec![line], held: Vec::new(), left: Currency::XTS.zero(), until: None };
        assert!(words::drafts(&list).contains("4294967311"));
        assert_eq!(serde_json::to_value(&list).unwrap()["written"][0]["number"], 4_294_967_311_u64);
    }
}
