//! The signer as the server sees it: a process at the end of two pipes.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use farthing_core::cert::Certificate;
use farthing_core::id::{NetworkId, PeerId};
use farthing_core::sign::Signed;
use farthing_core::wire;
use farthing_net::frame::{FrameError, FrameReader, FrameWriter, within};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::Mutex;
use zeroize::Zeroizing;

use super::{CertificateSigner, FRAME_MAX, Greeting, Said, SignerError, Signing};
use crate::home::{BankHome, Unlock};

/// How long the signer may take for one signature.
pub const SIGN_WITHIN: Duration = Duration::from_secs(5);
/// How long it may take to start and to open its key.
pub const START_WITHIN: Duration = Duration::from_secs(30);
/// How often one certificate is tried: once, and once more with a signer started anew.
const TRIES: usize = 2;

/// How the signer's process is started: this program, with arguments that make it run
/// [`serve`](super::serve).
#[derive(Clone, Debug)]
pub struct SignerCommand {
    /// Which program.
    pub program: PathBuf,
    /// With which arguments.
    pub args: Vec<OsString>,
}

/// A signer in a process of its own. It is started at the first request and again whenever it has
/// died or fallen silent.
pub struct ChildSigner {
    command: SignerCommand,
    network: NetworkId,
    authority: PeerId,
    unlock: Unlock,
    sign_within: Duration,
    running: Mutex<Option<Running>>,
}

/// A started process. Dropping it kills it.
struct Running {
    _child: Child,
    output: FrameWriter<ChildStdin>,
    input: FrameReader<ChildStdout>,
}

impl ChildSigner {
    /// A signer for a bank, not started yet.
    #[must_use]
    pub fn new(home: &BankHome, unlock: Unlock, command: SignerCommand) -> Self {
        Self {
            command,
            network: home.network(),
            authority: home.authority(),
            unlock,
            sign_within: SIGN_WITHIN,
            running: Mutex::new(None),
        }
    }

    /// The same, with another limit for one signature.
    #[must_use]
    pub const fn patient_for(mut self, limit: Duration) -> Self {
        self.sign_within = limit;
        self
    }

    /// Starts the signer unless it runs, so that a wrong passphrase shows before anybody asks.
    ///
    /// # Errors
    /// [`SignerError`].
    pub async fn start(&self) -> Result<(), SignerError> {
        let mut running = self.running.lock().await;
        if running.is_none() {
            *running = Some(self.spawn().await?);
        }
        Ok(())
    }

    async fn spawn(&self) -> Result<Running, SignerError> {
        let down = |why: std::io::Error| SignerError::Down(format!("cannot start it: {why}"));
        let mut child = Command::new(&self.command.program)
            .args(&self.command.args)
            // It needs none of what may be secret there.
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(down)?;
        let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(SignerError::Down("it has no pipes".into()));
        };
        let mut running = Running {
            _child: child,
            output: FrameWriter::with_max(stdin, FRAME_MAX),
            input: FrameReader::with_max(stdout, FRAME_MAX),
        };
        let greeting = Greeting { network: self.network, passphrase: self.unlock.expose().map(str::to_owned) };
        let greeting = Zeroizing::new(wire::encode(&greeting));
        match running.exchange(&greeting, START_WITHIN).await? {
            Said::Ready(authority) if authority == self.authority => Ok(running),
            Said::Ready(_) => Err(SignerError::Down("it holds the key of another bank".into())),
            Said::Refused(why) => Err(SignerError::Refused(why)),
            Said::Signed(_) => Err(nonsense()),
        }
    }

    async fn try_sign(&self, running: &mut Option<Running>, asked: &[u8]) -> Result<Signed<Certificate>, SignerError> {
        let signer = match running {
            Some(signer) => signer,
            None => running.insert(self.spawn().await?),
        };
        match signer.exchange(asked, self.sign_within).await? {
            Said::Signed(signed) => {
                // Never hand out what others would not believe, whatever went wrong over there.
                let checked = signed.verify_by(self.network, self.authority).map_err(|_| nonsense())?;
                if wire::encode(checked.body()) == asked { Ok(checked.into_signed()) } else { Err(nonsense()) }
            }
            Said::Refused(why) => Err(SignerError::Refused(why)),
            Said::Ready(_) => Err(nonsense()),
        }
    }
}

impl CertificateSigner for ChildSigner {
    fn sign(&self, certificate: Certificate) -> Signing<'_> {
        Box::pin(async move {
            let asked = wire::encode(&certificate);
            let mut running = self.running.lock().await;
            let mut last = nonsense();
            for _ in 0..TRIES {
                // Out of its place while it works: if this future is dropped half-way, the process
                // goes with it, and no late answer is taken for the next.
                let mut at_work = running.take();
                match self.try_sign(&mut at_work, &asked).await {
                    Err(SignerError::Down(why)) => {
                        tracing::warn!(why, "the signer is started again");
                        metrics::counter!("farthing_bank_signer_restarts_total").increment(1);
                        last = SignerError::Down(why);
                    }
                    done => {
                        *running = at_work;
                        return done;
                    }
                }
            }
            Err(last)
        })
    }
}

impl Running {
    async fn exchange(&mut self, asked: &[u8], limit: Duration) -> Result<Said, SignerError> {
        let down = |why: FrameError| SignerError::Down(why.to_string());
        let answer = within(limit, async {
            self.output.feed(asked).await?;
            self.output.flush().await?;
            self.input.next().await
        });
        let answer = answer.await.map_err(down)?.ok_or_else(|| SignerError::Down("it has ended".into()))?;
        wire::decode(&answer).map_err(|_| nonsense())
    }
}

fn nonsense() -> SignerError {
    SignerError::Down("it talks nonsense".into())
}
