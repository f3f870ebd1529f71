//! `farthing drafts`: promises that the bank will pay, written and held.

use clap::{Args, Subcommand};

use super::App;
use crate::fail::Failure;
use crate::peer::money::{self, words};
use crate::peer::{self, Request};
use crate::show::confirm;

/// Drafts written and held.
#[derive(Debug, Args)]
pub(crate) struct DraftsArgs {
    #[command(subcommand)]
    command: Option<DraftsCommand>,
}

/// What to do with them.
#[derive(Debug, Subcommand)]
enum DraftsCommand {
    /// See all drafts, with their names
    List,
    /// Turn the drafts held into money at the bank
    Deposit {
        /// Only see what would be deposited
        #[arg(long)]
        dry_run: bool,
    },
    /// Have the bank stop a draft that was written for goods that never came
    Stop(WhichArgs),
    /// Prove to the bank what became of a draft that was stopped: that it was given back, or that the goods came
    Dispute(WhichArgs),
}

/// Which draft.
#[derive(Debug, Args)]
struct WhichArgs {
    /// Its name in the list, such as 3fa91c02
    draft: String,
}

/// Runs a command of the group.
pub(crate) async fn run(app: &App, args: DraftsArgs) -> Result<(), Failure> {
    match args.command.unwrap_or(DraftsCommand::List) {
        DraftsCommand::List | DraftsCommand::Deposit { dry_run: true } => {
            let drafts: money::Drafts = peer::ask(app, Request::Drafts).await?;
            app.out.result(&drafts, || words::drafts(&drafts))
        }
        DraftsCommand::Deposit { dry_run: false } => {
            let deposited: money::Deposited = peer::ask(app, Request::DepositDrafts).await?;
            app.out.result(&deposited, || words::deposited(&deposited))
        }
        DraftsCommand::Stop(which) => {
            let question = format!("Have draft {} stopped? Stop only what was not delivered", which.draft);
            if !confirm(app.yes, &format!("{question}."))? {
                return Err(Failure::usage("not confirmed; nothing was stopped"));
            }
            told(app, Request::StopDraft { draft: which.draft }).await
        }
        DraftsCommand::Dispute(which) => told(app, Request::DisputeDraft { draft: which.draft }).await,
    }
}

async fn told(app: &App, request: Request) -> Result<(), Failure> {
    let done: peer::Done = peer::ask(app, request).await?;
    app.out.result(&done, || &done.words)
}
