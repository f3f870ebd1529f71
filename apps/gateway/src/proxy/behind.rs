//! What stands behind a gateway.

use std::path::PathBuf;
use std::time::Duration;

use super::upstream::{BadUpstream, Upstream};
use crate::local::{BadFolder, Folder};

/// What stands behind a gateway. Routes with an answer of their own need nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Behind {
    /// A service, such as `http://127.0.0.1:8000` or `https://host#sha256=…`.
    Service(String),
    /// The files of a folder.
    Folder(PathBuf),
    /// Nothing: every route has an answer.
    Nothing,
}

impl From<String> for Behind {
    fn from(service: String) -> Self {
        Self::Service(service)
    }
}

/// Why there is nothing behind it.
#[derive(Debug, thiserror::Error)]
pub enum BadBehind {
    /// The service's address is none.
    #[error(transparent)]
    Upstream(#[from] BadUpstream),
    /// The folder is none.
    #[error(transparent)]
    Folder(#[from] BadFolder),
}

/// The same, ready to be asked.
#[derive(Debug)]
pub(crate) enum Source {
    Service(Box<Upstream>),
    Folder(Folder),
    Nothing,
}

impl Source {
    /// Looks whether it can be asked; a service is waited for so long.
    pub(crate) fn open(behind: &Behind, patience: Duration) -> Result<Self, BadBehind> {
        Ok(match behind {
            Behind::Service(address) => Self::Service(Box::new(Upstream::new(address, patience)?)),
            Behind::Folder(path) => Self::Folder(Folder::open(path)?),
            Behind::Nothing => Self::Nothing,
        })
    }
}
