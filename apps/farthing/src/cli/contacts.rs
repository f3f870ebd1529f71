//! `farthing contacts`: your names for others.

use clap::{Args, Subcommand};
use farthing_core::id::PeerId;
use farthing_net::peer::Multiaddr;

use super::App;
use crate::fail::Failure;
use crate::peer::money::{self, words};
use crate::peer::{self, Request};

/// Your names for others.
#[derive(Debug, Subcommand)]
pub(crate) enum ContactsCommand {
    /// Give somebody a name
    Add(AddArgs),
    /// See all names
    List,
    /// Change a name
    Rename {
        /// The name as it is
        name: String,
        /// The new one
        new: String,
    },
    /// Forget a name
    Remove {
        /// Which
        name: String,
    },
}

/// Arguments of `farthing contacts add`.
#[derive(Debug, Args)]
pub(crate) struct AddArgs {
    /// What you call them
    name: String,
    /// Whom: peer1..., or a request for payment of theirs, which says more (farthing:request1...)
    peer: String,
    /// Where they are, such as /ip4/192.0.2.1/tcp/4001
    #[arg(long, value_name = "ADDRESS")]
    at: Option<Multiaddr>,
}

/// Runs a command of the group.
pub(crate) async fn run(app: &App, command: ContactsCommand) -> Result<(), Failure> {
    let request = match command {
        ContactsCommand::List => Request::Contacts,
        ContactsCommand::Add(args) => {
            let (peer, request, address) = match args.peer.parse::<PeerId>() {
                Ok(peer) => (peer, None, None),
                Err(_) => money::known_by_request(&args.peer)?,
            };
            let address = args.at.map(|at| at.to_string()).or(address);
            Request::AddContact(money::Known { name: args.name, peer, seal: None, address, request })
        }
        ContactsCommand::Rename { name, new } => Request::RenameContact { name, new },
        ContactsCommand::Remove { name } => Request::RemoveContact { name },
    };
    let contacts: money::Contacts = peer::ask(app, request).await?;
    app.out.result(&contacts, || words::contacts(&contacts))
}
