//! The answers in words.

use std::fmt::Write as _;
use std::path::Path;

use farthing_core::id::PeerId;

use super::take::noun;
use super::{Asked, Contacts, Deposited, Drafts, PaidNow, PayState, Received, Resumed};
use crate::show::{Column, count, table};

/// Somebody, by the owner's name for them if there is one.
pub(crate) fn who(name: Option<&str>, peer: PeerId) -> String {
    name.map_or_else(|| peer.short(), |name| format!("{name} ({})", peer.short()))
}

fn what_for(note: &str) -> String {
    if note.is_empty() { String::new() } else { format!(" for {note:?}") }
}

/// How it would be paid.
pub(crate) fn plan(at: &PaidNow) -> String {
    format!("By {}, because {}.", at.scheme, at.because)
}

/// What became of a payment.
pub(crate) fn paid(at: &PaidNow) -> String {
    let to = format!("{} to {}{}", at.amount, who(at.name.as_deref(), at.payee), what_for(&at.note));
    let why = || at.why.clone().unwrap_or_default();
    match at.state {
        PayState::Planned => format!("Would pay {to}. {} Nothing was paid.", plan(at)),
        PayState::Received => format!("Paid {to}. {} The payee has given a receipt.", plan(at)),
        PayState::Written => {
            let deposit = "It counts as paid: hand the text to the payee, and nobody else can use it.";
            format!(
                "A draft over {to} is written. {deposit}\n  Next: the payee: farthing receive FILE; its receipt: farthing pay --receipt FILE"
            )
        }
        PayState::Waiting => format!(
            "The {} over {to} is made and kept, but not handed over: {}.\n  Next: farthing pay --resume hands over the \
             same payment; a running farthing serve does so by itself",
            noun(at.scheme),
            why()
        ),
    }
}

/// What came of handing over what had waited.
pub(crate) fn resumed(at: &Resumed) -> String {
    if at.payments.is_empty() {
        return "Nothing waits to be handed over.".to_owned();
    }
    let rows = at.payments.iter().map(|one| {
        let state = match one.state {
            PayState::Received => "handed over".to_owned(),
            PayState::Written => "brought by hand; then: farthing pay --receipt FILE".to_owned(),
            _ => one.why.clone().unwrap_or_default(),
        };
        [who(one.name.as_deref(), one.payee), one.amount.to_string(), one.scheme.to_string(), state]
    });
    table(&[Column::Text("to"), Column::Number("amount"), Column::Text("by"), Column::Text("")], rows)
}

/// A request for payment.
pub(crate) fn asked(at: &Asked) -> String {
    let amount = at.amount.map_or_else(|| "an amount that the payer chooses".to_owned(), |amount| amount.to_string());
    let mut text = format!("{}\n\nWhoever pays this pays {amount}, until {} UTC.", at.uri, at.until);
    if !at.open {
        text.push_str("\nNobody takes payments here now: farthing receive, or farthing serve.");
    }
    text
}

/// A door that is open for payers.
pub(crate) fn open(me: PeerId, addresses: &[String]) -> String {
    let at: String = addresses.iter().map(|address| format!("\n  at {address}")).collect();
    format!("{me} takes payments. Stop with Ctrl-C.{at}")
}

/// A payment that came.
pub(crate) fn received(at: &Received, file: Option<&Path>) -> String {
    let from = who(at.name.as_deref(), at.payer);
    let mut text = format!("{} from {from}{}, by {}.", at.amount, what_for(&at.note), at.scheme);
    if at.again {
        text.push_str(" It came before, and is paid once: farthing drafts");
    } else if at.scheme == farthing_peer::wallet::Scheme::Draft {
        text.push_str(" It is the payer's promise until it is deposited: farthing drafts deposit");
    }
    match (&at.receipt, file) {
        (Some(_), Some(file)) => _ = write!(text, "\nThe receipt for the payer is in {}.", file.display()),
        (Some(receipt), None) => _ = write!(text, "\nThe receipt for the payer:\n\n{receipt}"),
        (None, _) => {}
    }
    text
}

/// All contacts.
pub(crate) fn contacts(at: &Contacts) -> String {
    if at.contacts.is_empty() {
        return "No contacts yet. Begin with: farthing contacts add NAME peer1…".to_owned();
    }
    let rows = at.contacts.iter().map(|contact| {
        let sealed = if contact.seal.is_some() { "yes" } else { "" };
        [contact.name.clone(), contact.peer.to_string(), sealed.to_owned(), contact.address.clone().unwrap_or_default()]
    });
    table(&[Column::Text("name"), Column::Text("peer"), Column::Text("drafts by hand"), Column::Text("at")], rows)
}

/// Drafts written and held.
pub(crate) fn drafts(at: &Drafts) -> String {
    let until = at.until.as_ref().map_or_else(String::new, |until| format!(", until {until} UTC"));
    let mut text = format!("{} may still be promised without asking the bank{until}.", at.left);
    for (title, lines) in [("Written", &at.written), ("Held", &at.held)] {
        if lines.is_empty() {
            continue;
        }
        let columns = [
            Column::Text("draft"),
            Column::Number("amount"),
            Column::Text("with"),
            Column::Text("state"),
            Column::Text("deposit before (UTC)"),
            Column::Number("number"),
        ];
        let rows = lines.iter().map(|line| {
            let by = line.deposit_by.clone().unwrap_or_default();
            let (amount, number) = (line.amount.to_string(), line.number.to_string());
            [line.draft.clone(), amount, line.with.short(), line.state.clone(), by, number]
        });
        let _ = write!(text, "\n\n{title}\n{}", table(&columns, rows));
    }
    text
}

/// What came of a deposit.
pub(crate) fn deposited(at: &Deposited) -> String {
    let mut text = format!("{} credited for {}.", at.paid, count(at.drafts.into(), "draft"));
    if !at.owed.is_zero() {
        let _ = write!(text, "\n{} more is owed: the payer has overdrawn, and the bank collects it.", at.owed);
    }
    if at.stopped > 0 {
        let stopped = count(at.stopped.into(), "draft");
        let _ = write!(text, "\n{stopped} stopped by the payer. If you delivered: farthing drafts dispute DRAFT");
    }
    for refused in &at.refused {
        let _ = write!(text, "\nThe bank turned one away: {refused}");
    }
    text
}
