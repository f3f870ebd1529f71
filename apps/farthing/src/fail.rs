//! How a command fails: what was wrong, whether money may have moved, what to do next, and an exit
//! code by kind.

use std::fmt;
use std::process::ExitCode;

use farthing_core::refusal::{Code, Money, Refusal, Remedy};
use farthing_core::vault::VaultError;
use farthing_net::http::client::SendError;
use serde_json::{Value, json};

/// What kind of failure; decides the exit code.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// None of the others.
    Other,
    /// The command line or the configuration is wrong.
    Usage,
    /// Somebody said no. No money moved.
    Refused,
    /// The request may or may not have been carried out.
    OutcomeUnknown,
    /// A server or peer did not answer. Nothing was sent.
    NotReachable,
    /// Not enough money, or the wallet's own policy forbids it.
    Funds,
    /// The state on disk is damaged, in use by another process, or its passphrase is wrong.
    Damaged,
    /// A server answered, with an error of its own: HTTP 4xx or 5xx.
    Answered,
}

impl Kind {
    /// Every kind, in the order of the exit codes.
    pub(crate) const ALL: [Self; 8] = [
        Self::Other,
        Self::Usage,
        Self::Refused,
        Self::OutcomeUnknown,
        Self::NotReachable,
        Self::Funds,
        Self::Damaged,
        Self::Answered,
    ];

    /// The exit code.
    pub(crate) const fn exit(self) -> u8 {
        match self {
            Self::Other => 1,
            Self::Usage => 2,
            Self::Refused => 3,
            Self::OutcomeUnknown => 4,
            Self::NotReachable => 5,
            Self::Funds => 6,
            Self::Damaged => 7,
            Self::Answered => 8,
        }
    }

    /// The name in JSON.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Other => "other",
            Self::Usage => "usage",
            Self::Refused => "refused",
            Self::OutcomeUnknown => "outcome-unknown",
            Self::NotReachable => "not-reachable",
            Self::Funds => "funds",
            Self::Damaged => "damaged",
            Self::Answered => "answered",
        }
    }

    /// What it means, for `farthing help exit-codes`.
    pub(crate) const fn meaning(self) -> &'static str {
        match self {
            Self::Other => "something else went wrong; the message says what",
            Self::Usage => "the command line or the configuration file is wrong",
            Self::Refused => "somebody said no; no money moved",
            Self::OutcomeUnknown => "the answer went missing and money may have moved: run the same command again",
            Self::NotReachable => "the bank, the index or a peer did not answer; what was paid before stays paid",
            Self::Funds => "not enough money, or the wallet's own policy forbids the payment",
            Self::Damaged => "the files are damaged, in use by another process, or the passphrase is wrong",
            Self::Answered => {
                "the web server answered with an error, HTTP 4xx or 5xx; the message says what was charged"
            }
        }
    }

    fn from_name(name: &str) -> Self {
        Self::ALL.into_iter().find(|kind| kind.name() == name).unwrap_or(Self::Other)
    }
}

/// Why a command failed, in up to three sentences.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Failure {
    kind: Kind,
    what: String,
    money: Option<Money>,
    next: Option<String>,
    told: bool,
}

impl Failure {
    /// A failure of a kind; `what` is a sentence without a full stop.
    pub(crate) fn new(kind: Kind, what: impl fmt::Display) -> Self {
        Self { kind, what: what.to_string(), money: None, next: None, told: false }
    }

    /// A failure that the command has told already, as its result.
    pub(crate) fn told(kind: Kind) -> Self {
        Self { told: true, ..Self::new(kind, "see above") }
    }

    /// None of the other kinds.
    pub(crate) fn other(what: impl fmt::Display) -> Self {
        Self::new(Kind::Other, what)
    }

    /// The command line or the configuration is wrong.
    pub(crate) fn usage(what: impl fmt::Display) -> Self {
        Self::new(Kind::Usage, what)
    }

    /// State on disk that cannot be used.
    pub(crate) fn damaged(what: impl fmt::Display) -> Self {
        Self::new(Kind::Damaged, what)
    }

    /// Says what to do next.
    pub(crate) fn next(mut self, next: impl fmt::Display) -> Self {
        self.next = Some(next.to_string());
        self
    }

    /// Says whether money may have moved.
    pub(crate) fn money(mut self, money: Money) -> Self {
        self.money = Some(money);
        self
    }

    /// Whether the command has told it already.
    pub(crate) const fn is_told(&self) -> bool {
        self.told
    }

    /// What was wrong.
    pub(crate) fn what(&self) -> &str {
        &self.what
    }

    /// What to do next.
    pub(crate) fn next_step(&self) -> Option<&str> {
        self.next.as_deref()
    }

    /// The kind.
    pub(crate) const fn kind(&self) -> Kind {
        self.kind
    }

    /// The exit code.
    pub(crate) fn exit(&self) -> ExitCode {
        ExitCode::from(self.kind.exit())
    }

    /// The failure for programs.
    pub(crate) fn to_json(&self) -> Value {
        json!({
            "error": {
                "kind": self.kind.name(),
                "exit_code": self.kind.exit(),
                "what": self.what,
                "money": self.money,
                "next": self.next,
            }
        })
    }

    /// Reads what [`Failure::to_json`] wrote, from another process of ours.
    pub(crate) fn from_json(json: &Value) -> Option<Self> {
        let error = json.get("error")?;
        let text = |key: &str| error.get(key).and_then(Value::as_str).map(str::to_owned);
        Some(Self {
            kind: Kind::from_name(&text("kind")?),
            what: text("what")?,
            money: error.get("money").and_then(|money| serde_json::from_value(money.clone()).ok()),
            next: text("next"),
            told: false,
        })
    }
}

impl fmt::Display for Failure {
    /// Up to three lines: what, money, next.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        let money = match self.money {
            None => None,
            Some(Money::Unmoved) => Some("No money moved."),
            Some(Money::Unknown) => Some("Money may have moved."),
            Some(Money::MovedBefore) => Some("Money moved earlier; nothing moved now."),
        };
        if let Some(money) = money {
            write!(f, "\n  {money}")?;
        }
        self.next.as_ref().map_or(Ok(()), |next| write!(f, "\n  Next: {next}"))
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        let kind = match (refusal.money, refusal.code) {
            (Money::Unknown, _) => Kind::OutcomeUnknown,
            (_, Code::Funds) => Kind::Funds,
            (_, Code::Reconcile | Code::Epoch | Code::Log) => Kind::Damaged,
            _ => Kind::Refused,
        };
        let next = match refusal.remedy {
            Remedy::Stop => None,
            Remedy::Again => Some("run the same command again, when the message says or in a moment"),
            Remedy::Mend => Some("correct what the message names and try again"),
            Remedy::Fund => Some("put money into the account: farthing wallet fund AMOUNT"),
            Remedy::Renew => Some("run the same command again; the certificate is renewed by itself"),
            Remedy::Reconcile => Some("compare books with the bank: farthing wallet reconcile"),
            Remedy::Appeal => Some("ask the bank's operator"),
        };
        Self {
            kind,
            what: refusal.detail.into_owned(),
            money: Some(refusal.money),
            next: next.map(str::to_owned),
            told: false,
        }
    }
}

impl From<SendError> for Failure {
    fn from(error: SendError) -> Self {
        match error {
            SendError::NotSent(_) => Self::new(Kind::NotReachable, "the server cannot be reached")
                .money(Money::Unmoved)
                .next("see that it runs and that its address is right: farthing doctor"),
            SendError::OutcomeUnknown(_) => Self::new(Kind::OutcomeUnknown, "the answer went missing on the way")
                .money(Money::Unknown)
                .next("run the same command again: the same request is repeated, and is carried out once"),
        }
    }
}

impl From<farthing_index::client::AskError> for Failure {
    fn from(error: farthing_index::client::AskError) -> Self {
        use farthing_index::client::AskError;
        match error {
            AskError::Send(_) | AskError::Read(_) => Self::new(Kind::NotReachable, "the index does not answer")
                .next("see that it runs and that its address is right: farthing doctor"),
            AskError::Refused(problem) => {
                Self::new(Kind::Refused, format_args!("the index refuses: {}", problem.detail))
            }
            error => Self::other(error),
        }
    }
}

impl From<VaultError> for Failure {
    fn from(error: VaultError) -> Self {
        Self::damaged(error)
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::other(error)
    }
}

/// Puts a failure's circumstances into words.
pub(crate) trait Context<T> {
    /// Prefixes what the error says: `what: error`.
    fn or_fail(self, what: impl fmt::Display) -> Result<T, Failure>;
}

impl<T, E: fmt::Display> Context<T> for Result<T, E> {
    fn or_fail(self, what: impl fmt::Display) -> Result<T, Failure> {
        self.map_err(|error| Failure::other(format_args!("{what}: {error}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_its_own_exit_code_from_one_upwards() {
        for (code, kind) in (1..).zip(Kind::ALL) {
            assert_eq!(kind.exit(), code, "{kind:?}");
            assert_eq!(Kind::from_name(kind.name()), kind);
        }
    }

    #[test]
    fn a_refusal_is_sorted_by_what_the_user_must_do() {
        let sorted = |code, money| Failure::from(Refusal::new(code, "x").money(money)).kind();
        assert_eq!(sorted(Code::Funds, Money::Unmoved), Kind::Funds);
        assert_eq!(sorted(Code::Policy, Money::Unmoved), Kind::Refused, "another's policy, not the wallet's");
        assert_eq!(sorted(Code::Signature, Money::Unmoved), Kind::Refused);
        assert_eq!(sorted(Code::Reconcile, Money::Unmoved), Kind::Damaged);
        assert_eq!(sorted(Code::Funds, Money::Unknown), Kind::OutcomeUnknown, "doubt comes before everything");
    }

    #[test]
    fn a_failure_survives_the_way_between_processes() {
        let failure = Failure::from(Refusal::new(Code::Funds, "the account holds 0.50 XTS"));
        assert_eq!(Failure::from_json(&failure.to_json()), Some(failure));
    }

    #[test]
    fn a_failure_says_what_about_money_and_what_next() {
        let shown = Failure::from(Refusal::new(Code::Funds, "the account holds 0.50 XTS")).to_string();
        let lines: Vec<&str> = shown.lines().collect();
        assert_eq!(lines[..2], ["the account holds 0.50 XTS", "  No money moved."]);
        assert!(lines[2].starts_with("  Next: "), "{shown}");
    }
}
