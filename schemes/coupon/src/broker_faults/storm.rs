//! Messages are lost, copied and reordered, and every party crashes: nobody loses more than the one
//! coupon in question, and once the storm is over nothing is lost at all.

use std::collections::BTreeMap;

use farthing_core::id::{ChainId, PeerId};
use farthing_core::wire;
use proptest::prelude::*;

use super::{ADA, BOB, BROKER, RESPONSE};
use crate::broker::{Broker, Drawn, Form, Job, JobName, Want};
use crate::micro::{Ack, LogEntry, Pay};
use crate::session::Session;
use crate::spender::Spender;
use crate::testing::{HERE, S1, S2, World, key, request};

/// What is under way.
#[derive(Clone, Debug)]
enum Message {
    /// BT-1.
    ToBroker(usize, Pay, Want),
    /// BT-2.
    ToSeller(JobName, PeerId, Pay),
    /// BT-3.
    FromSeller(JobName, Ack),
    /// BT-4.
    ToBuyer(usize, Ack),
}

/// What a seller answered, by index: a repeat gets it again.
type Answers = BTreeMap<u32, (LogEntry, Ack)>;

/// What each party has written down.
struct Disk {
    buyers: [Vec<u8>; 2],
    sessions: BTreeMap<ChainId, Vec<u8>>,
    spenders: BTreeMap<PeerId, Vec<u8>>,
    jobs: BTreeMap<JobName, Vec<u8>>,
    shops: BTreeMap<PeerId, (Vec<u8>, Answers)>,
}

struct Sim {
    world: World,
    buyers: [Spender; 2],
    wants: [Option<(u32, Want)>; 2],
    broker: Broker,
    shops: BTreeMap<PeerId, (Session, Answers)>,
    disk: Disk,
    network: Vec<Message>,
    /// How many units were delivered to each buyer.
    delivered: [u32; 2],
    asked: u32,
}

const SEEDS: [(u8, u8); 2] = [(73, S1), (74, S2)];

impl Sim {
    fn new() -> Self {
        let mut world = World::new();
        for seed in [ADA, BOB, BROKER] {
            world.enrol(key(seed).id(), 1_000_000);
        }
        let (ada, of_ada) = world.open(ADA, 71, BROKER, 200);
        let (bob, of_bob) = world.open(BOB, 72, BROKER, 200);
        let (mut sellers, mut shops) = (Vec::new(), BTreeMap::new());
        for (alias, seller) in SEEDS {
            let (spender, session) = world.open(BROKER, alias, seller, 300);
            sellers.push(spender);
            shops.insert(key(seller).id(), (session, BTreeMap::new()));
        }
        let broker = Broker::new(key(BROKER), HERE, 0, vec![of_ada, of_bob], sellers, vec![]);
        let disk = Disk {
            buyers: Default::default(),
            sessions: BTreeMap::new(),
            spenders: BTreeMap::new(),
            jobs: BTreeMap::new(),
            shops: BTreeMap::new(),
        };
        let mut sim = Self {
            world,
            buyers: [ada, bob],
            wants: [None, None],
            broker,
            shops,
            disk,
            network: Vec::new(),
            delivered: [0, 0],
            asked: 0,
        };
        sim.write_down(None);
        sim
    }

    /// What a step changed becomes durable; of the broker, the rows of one job.
    fn write_down(&mut self, name: Option<JobName>) {
        for (at, buyer) in self.buyers.iter().enumerate() {
            self.disk.buyers[at] = wire::encode(buyer.state());
            let session = self.broker.buyer(buyer.chain()).unwrap();
            self.disk.sessions.insert(buyer.chain(), wire::encode(session.state()));
        }
        for (_, seller) in SEEDS {
            let seller = key(seller).id();
            self.disk.spenders.insert(seller, wire::encode(self.broker.seller(seller).unwrap().state()));
            let (session, answers) = &self.shops[&seller];
            self.disk.shops.insert(seller, (wire::encode(session.state()), answers.clone()));
        }
        if let Some(job) = name.and_then(|name| self.broker.job(name)) {
            self.disk.jobs.insert(name.unwrap(), wire::encode(job));
        }
    }

    /// Everybody forgets what is not written down.
    fn crash(&mut self) {
        for (at, alias) in [71, 72].into_iter().enumerate() {
            let state = wire::decode(&self.disk.buyers[at]).unwrap();
            self.buyers[at] = Spender::resume(state, [alias; 32]).unwrap();
        }
        let sessions = self.disk.sessions.values().map(|state| Session::resume(wire::decode(state).unwrap())).collect();
        let spender = |(alias, seller): (u8, u8)| {
            let state = wire::decode(&self.disk.spenders[&key(seller).id()]).unwrap();
            Spender::resume(state, [alias; 32]).unwrap()
        };
        let spenders = SEEDS.into_iter().map(spender).collect();
        let jobs: Vec<(JobName, Job)> =
            self.disk.jobs.iter().map(|(name, job)| (*name, wire::decode(job).unwrap())).collect();
        self.broker = Broker::new(key(BROKER), HERE, 0, sessions, spenders, jobs);
        for (seller, (state, answers)) in &self.disk.shops {
            let session = Session::resume(wire::decode(state).unwrap());
            self.shops.insert(*seller, (session, answers.clone()));
        }
    }

    /// A buyer without an open request makes one; one with an open request sends it again.
    fn ask(&mut self, buyer: usize) -> Vec<Message> {
        let spender = &mut self.buyers[buyer];
        if let Some((index, want)) = self.wants[buyer]
            && let Some(pay) = spender.again(index)
        {
            return vec![Message::ToBroker(buyer, pay, want)];
        }
        self.asked += 1;
        let seller = key(if self.asked.is_multiple_of(2) { S1 } else { S2 }).id();
        let want = Want { seller, units: 1, request: request(&format!("/{}", self.asked)), form: Form::Serial };
        let Ok(pay) = spender.pay(1, want.order(spender.realm())) else { return Vec::new() };
        self.wants[buyer] = Some((pay.index, want));
        vec![Message::ToBroker(buyer, pay, want)]
    }

    /// What a party does on a message, and what it would send.
    fn handle(&mut self, message: Message) -> (Option<JobName>, Vec<Message>) {
        let now = self.world.now;
        match message {
            Message::ToBroker(buyer, pay, want) => {
                let chain = self.buyers[buyer].chain();
                let name = (chain, pay.index);
                let out = match self.broker.translate(now, chain, &pay, &want) {
                    Ok(Drawn::Forward(pay)) => vec![Message::ToSeller(name, want.seller, pay)],
                    Ok(Drawn::Done(ack)) => vec![Message::ToBuyer(buyer, ack)],
                    Ok(_) | Err(_) => Vec::new(),
                };
                (Some(name), out)
            }
            Message::ToSeller(name, seller, pay) => {
                let (session, answers) = self.shops.get_mut(&seller).unwrap();
                if let Some((entry, ack)) = answers.get(&pay.index).filter(|(entry, _)| *entry == pay.entry()) {
                    assert_eq!(entry.index, pay.index);
                    return (None, vec![Message::FromSeller(name, *ack)]);
                }
                let Ok(accepted) = session.accept(now, &pay, 1) else { return (None, Vec::new()) };
                let ack = session.ack(&accepted.entry, 1, RESPONSE);
                answers.insert(pay.index, (accepted.entry, ack));
                (None, vec![Message::FromSeller(name, ack)])
            }
            Message::FromSeller(name, ack) => {
                let buyer = self.buyers.iter().position(|buyer| buyer.chain() == name.0).unwrap();
                let out = self.broker.on_ack(name, &ack).map(|ack| vec![Message::ToBuyer(buyer, ack)]);
                (Some(name), out.unwrap_or_default())
            }
            Message::ToBuyer(buyer, ack) => {
                if let Ok(charged) = self.buyers[buyer].on_ack(&ack) {
                    self.delivered[buyer] += charged;
                    self.wants[buyer] = None;
                }
                (None, Vec::new())
            }
        }
    }

    /// What must hold whatever happened. All units are worth the same.
    fn check(&self) {
        let mut drawn = 0;
        for (_, seller) in SEEDS {
            let (session, answers) = &self.shops[&key(seller).id()];
            assert!(answers.len() as u32 <= session.through(), "a seller served what it was not paid");
            let owed = self.broker.seller(key(seller).id()).unwrap().at_risk();
            assert!(session.through() <= owed, "a seller holds money that was never sent");
            drawn += owed;
        }
        let mut taken = 0;
        for (at, buyer) in self.buyers.iter().enumerate() {
            let held = self.broker.buyer(buyer.chain()).unwrap().through();
            assert!(held <= buyer.at_risk());
            assert!(buyer.at_risk() <= self.delivered[at] + 1, "a buyer risks more than one coupon");
            taken += held;
        }
        assert!(drawn <= taken, "the broker paid what it was not paid");
    }
}

/// What the storm does in one step.
#[derive(Clone, Copy, Debug)]
enum Blow {
    Ask(usize),
    Deliver(usize),
    Copy(usize),
    Lose(usize),
    /// All crash after what they did became durable, before anything was sent.
    CrashUnsent(usize),
    /// All crash before it became durable.
    CrashUnwritten(usize),
}

fn blow() -> impl Strategy<Value = Blow> {
    let which = 0_usize..8;
    prop_oneof![
        4 => (0_usize..2).prop_map(Blow::Ask),
        8 => which.clone().prop_map(Blow::Deliver),
        2 => which.clone().prop_map(Blow::Copy),
        2 => which.clone().prop_map(Blow::Lose),
        1 => which.clone().prop_map(Blow::CrashUnsent),
        1 => which.prop_map(Blow::CrashUnwritten),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn nobody_loses_more_than_one_coupon_whatever_is_lost_copied_reordered_or_crashes(
        blows in prop::collection::vec(blow(), 1..150),
    ) {
        let mut sim = Sim::new();
        for blow in blows {
            let picked = |sim: &Sim, at: usize| (!sim.network.is_empty()).then(|| at % sim.network.len());
            match blow {
                Blow::Ask(buyer) => {
                    let out = sim.ask(buyer);
                    sim.write_down(None);
                    sim.network.extend(out);
                }
                Blow::Deliver(at) => if let Some(at) = picked(&sim, at) {
                    let message = sim.network.swap_remove(at);
                    let (name, out) = sim.handle(message);
                    sim.write_down(name);
                    sim.network.extend(out);
                },
                Blow::Copy(at) => if let Some(at) = picked(&sim, at) {
                    let copy = sim.network[at].clone();
                    sim.network.push(copy);
                },
                Blow::Lose(at) => if let Some(at) = picked(&sim, at) {
                    sim.network.swap_remove(at);
                },
                Blow::CrashUnsent(at) => if let Some(at) = picked(&sim, at) {
                    let message = sim.network.swap_remove(at);
                    let (name, _) = sim.handle(message);
                    sim.write_down(name);
                    sim.crash();
                },
                Blow::CrashUnwritten(at) => if let Some(at) = picked(&sim, at) {
                    let message = sim.network.swap_remove(at);
                    if !matches!(message, Message::ToBuyer(..)) {
                        sim.handle(message);
                    }
                    sim.crash();
                },
            }
            sim.check();
        }
        // The storm is over: whoever waits asks again, and everything arrives.
        sim.network.clear();
        for buyer in 0..2 {
            if sim.wants[buyer].is_some() {
                let mut queue = sim.ask(buyer);
                while let Some(message) = queue.pop() {
                    let (name, out) = sim.handle(message);
                    sim.write_down(name);
                    queue.extend(out);
                }
            }
            prop_assert_eq!(sim.buyers[buyer].at_risk(), sim.delivered[buyer], "paid for is delivered");
        }
        let served: usize = sim.shops.values().map(|(_, answers)| answers.len()).sum();
        let paid: u32 = sim.delivered.iter().sum();
        prop_assert_eq!(served as u32, paid, "and nothing else was");
        sim.check();
    }
}
