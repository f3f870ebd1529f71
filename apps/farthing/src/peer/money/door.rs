//! An open door for payers: by the process that sells in this home, or by this one.

use std::sync::Arc;
use std::time::Duration;

use farthing_peer::wallet::{RequestState, Wallet, What};
use tokio::time::MissedTickBehavior;

use super::{AskFor, Asked, Received, act, take, words};
use crate::cli::App;
use crate::control::Control;
use crate::fail::{Failure, Kind};
use crate::home::private_dir;
use crate::peer::selling::{self, OpenShop};
use crate::peer::{self, Request};
use crate::show::spinner;
use crate::stop::{StopArgs, asked_to_stop};

/// How often it is looked whether a payment has come.
const LOOK_EVERY: Duration = Duration::from_millis(300);
/// How often the wallet looks after what falls due.
const TEND_EVERY: Duration = Duration::from_secs(60);

/// Asks to be paid, shows how, and waits for the payment if that is wanted.
pub(crate) async fn request(
    app: &App,
    ask: AskFor,
    wait: bool,
    stop: StopArgs,
    show: impl FnOnce(&Asked) -> String,
) -> Result<(), Failure> {
    let running = selling::is_open(&app.settings).await?;
    if running || !wait {
        let asked: Asked = peer::ask(app, Request::AskFor(ask)).await?;
        if !wait {
            return app.out.result(&asked, || show(&asked));
        }
        app.out.announce(&asked, || show(&asked))?;
        let waiting = spinner(app.out, "waiting for the payment. Stop with Ctrl-C: the request stays open");
        let paid = tokio::select! {
            () = asked_to_stop(stop) => Err(not_paid()),
            paid = peer::ask_with(app, Request::AwaitPaid { order: asked.order }, drop) => paid,
        };
        waiting.finish_and_clear();
        let paid: Received = paid?;
        return app.out.announce(&paid, || words::received(&paid, None));
    }
    let door = Door::open(app).await?;
    let asked = door.shop.attendant.ask_for(&ask).await;
    let paid = match asked {
        Err(failure) => Err(failure),
        Ok(asked) => {
            app.out.announce(&asked, || show(&asked))?;
            let waiting = spinner(app.out, "waiting for the payment. Stop with Ctrl-C: the request stays open");
            let paid = tokio::select! {
                () = asked_to_stop(stop) => Err(not_paid()),
                paid = await_paid(door.shop.attendant.wallet(), asked.order) => paid,
            };
            waiting.finish_and_clear();
            paid
        }
    };
    door.close().await?;
    let paid = paid?;
    app.out.announce(&paid, || words::received(&paid, None))
}

fn not_paid() -> Failure {
    Failure::new(Kind::NotReachable, "nobody has paid yet")
        .next("the request stays open: farthing receive, or farthing serve, takes the payment")
}

/// Waits until a request is paid, or over.
pub(crate) async fn await_paid(wallet: &Wallet, order: farthing_core::id::OrderId) -> Result<Received, Failure> {
    let mut look = tokio::time::interval(LOOK_EVERY);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        look.tick().await;
        let Some(requested) = wallet.requested_by(order).await? else {
            return Err(Failure::usage("there is no such request"));
        };
        let over = requested.body.order.expires <= wallet.now() || requested.state == RequestState::Closed;
        if let Some(paid) = take::paid(wallet, requested).await? {
            return Ok(paid);
        }
        if over {
            return Err(Failure::new(Kind::NotReachable, "nobody has paid in time").next("ask again"));
        }
    }
}

/// Lets payers in until stopped, and says who paid.
pub(crate) async fn receive(app: &App, stop: StopArgs) -> Result<(), Failure> {
    if selling::is_open(&app.settings).await? {
        return Err(Failure::usage("a process that runs in this home takes payments already")
            .next("see what came: farthing history"));
    }
    let door = Door::open(app).await?;
    let attendant = Arc::clone(&door.shop.attendant);
    let wallet = attendant.wallet().clone();
    let addresses = attendant.addresses().await;
    let here = serde_json::json!({ "peer": wallet.me(), "addresses": addresses });
    let ended = async {
        app.out.announce(&here, || words::open(wallet.me(), &addresses))?;
        tokio::select! {
            () = asked_to_stop(stop) => Ok(()),
            ended = tell_what_comes(app, &wallet) => ended,
        }
    };
    let ended = ended.await;
    door.close().await?;
    ended
}

async fn tell_what_comes(app: &App, wallet: &Wallet) -> Result<(), Failure> {
    let (mut after, began) = (None, wallet.now());
    let mut look = tokio::time::interval(LOOK_EVERY);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        look.tick().await;
        for (at, happened) in wallet.history(after).await? {
            after = Some(at);
            if happened.at >= began
                && let Some(came) = came(wallet, happened.what).await?
            {
                app.out.announce(&came, || words::received(&came, None))?;
            }
        }
    }
}

async fn came(wallet: &Wallet, what: What) -> Result<Option<Received>, Failure> {
    let What::Received { scheme, payer, order, description, amount, .. } = what else { return Ok(None) };
    let name = wallet.name_of(payer).await?;
    Ok(Some(Received { payer, name, amount, note: description, order, scheme, receipt: None, again: false }))
}

/// A shop without wares.
struct Door {
    shop: OpenShop,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Door {
    async fn open(app: &App) -> Result<Self, Failure> {
        // Whoever can enter the home can ask this process to pay.
        private_dir(&app.settings.home)?;
        let wallet = peer::open(&app.settings).await?;
        let shop = OpenShop::open(wallet.clone(), &app.settings, &[])?;
        let control = Control::listen(&app.settings.home)?;
        let answering = tokio::spawn(control.serve(Arc::clone(&shop.attendant)));
        let tending = tokio::spawn(async move { wallet.tend(TEND_EVERY).await });
        let delivering = tokio::spawn(act::keep_handing_over(Arc::clone(&shop.attendant)));
        Ok(Self { shop, tasks: vec![answering, tending, delivering] })
    }

    async fn close(self) -> Result<(), Failure> {
        for task in self.tasks {
            task.abort();
            let _ = task.await;
        }
        self.shop.close().await
    }
}
