use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

const TCP: &str = "/ip4/127.0.0.1/tcp/0";
const QUIC: &str = "/ip4/127.0.0.1/udp/0/quic-v1";

fn config(seed: u8, listen: &[&str]) -> NodeConfig {
    NodeConfig {
        secret: Zeroizing::new([seed; 32]),
        listen: listen.iter().map(|address| address.parse().unwrap()).collect(),
        bootstrap: vec![],
        mdns: false,
        limits: PeerLimits::default(),
    }
}

fn node(seed: u8, listen: &[&str]) -> Node {
    Node::start(config(seed, listen)).unwrap()
}

/// Says a word and hears it back: proof that the stream works in both directions.
async fn echo(near: &mut PeerStream, far: &mut PeerStream) {
    near.write_all(b"a word").await.unwrap();
    near.flush().await.unwrap();
    let mut heard = [0; 6];
    far.read_exact(&mut heard).await.unwrap();
    far.write_all(&heard).await.unwrap();
    far.flush().await.unwrap();
    let mut back = [0; 6];
    near.read_exact(&mut back).await.unwrap();
    assert_eq!(&back, b"a word");
}

#[tokio::test]
async fn two_peers_meet_over_tcp_and_over_quic_and_know_each_other_by_key() {
    for transport in [TCP, QUIC] {
        let (payer, payee) = (node(1, &[transport]), node(2, &[transport]));
        let at = payee.listen_addrs().await;
        let mut near = payer.open(payee.public_key(), &at).await.unwrap();
        let (who, mut far) = payee.accept().await.unwrap();
        assert_eq!(who, payer.public_key());
        assert_eq!(near.peer(), payee.public_key());
        echo(&mut near, &mut far).await;
        // The same connection carries more streams, the other way too.
        let mut back = payee.open(payer.public_key(), &[]).await.unwrap();
        let (_, mut far) = payer.accept().await.unwrap();
        echo(&mut back, &mut far).await;
        payer.close().await;
        payee.close().await;
    }
}

#[tokio::test]
async fn five_peers_that_each_know_one_find_each_other() {
    let listen = [TCP, QUIC];
    let first = node(10, &listen);
    let known = (first.public_key(), first.listen_addrs().await.remove(0));
    let mut nodes = vec![first];
    for seed in 11..15 {
        let mut config = config(seed, &listen);
        config.bootstrap = vec![known.clone()];
        nodes.push(Node::start(config).unwrap());
    }
    // Each makes itself known to the first, which is how it gets into the table.
    for node in &nodes[1..] {
        node.open(known.0, &[]).await.unwrap();
        nodes[0].accept().await.unwrap();
    }
    for (a, b) in [(1, 2), (2, 3), (3, 4), (4, 1)] {
        let mut near = find(&nodes[a], nodes[b].public_key()).await;
        let (who, mut far) = nodes[b].accept().await.unwrap();
        assert_eq!(who, nodes[a].public_key());
        echo(&mut near, &mut far).await;
    }
}

/// Opens without an address. The table fills in the background, so not knowing yet is no failure.
async fn find(node: &Node, peer: PeerId) -> PeerStream {
    loop {
        match node.open(peer, &[]).await {
            Ok(stream) => return stream,
            Err(OpenError::Unknown) => tokio::task::yield_now().await,
            Err(other) => panic!("{other}"),
        }
    }
}

#[tokio::test]
async fn payer_refuses_somebody_else_at_the_payees_address() {
    for transport in [TCP, QUIC] {
        let (payer, thief) = (node(1, &[transport]), node(2, &[transport]));
        let at = thief.listen_addrs().await;
        let payee = node(3, &[transport]);
        let refused = payer.open(payee.public_key(), &at).await.unwrap_err();
        let OpenError::Impostor { obtained, .. } = refused else { panic!("{refused}") };
        assert_eq!(obtained, Some(thief.public_key()));
        // An old address among good ones does no harm.
        let mut both = at.clone();
        both.extend(payee.listen_addrs().await);
        let mut near = payer.open(payee.public_key(), &both).await.unwrap();
        let (_, mut far) = payee.accept().await.unwrap();
        echo(&mut near, &mut far).await;
    }
}

#[tokio::test]
async fn payee_turns_away_the_stream_too_many_and_takes_it_once_there_is_room() {
    let mut config = config(2, &[TCP]);
    config.limits.streams_per_peer = 2;
    let (payer, payee) = (node(1, &[TCP]), Node::start(config).unwrap());
    let at = payee.listen_addrs().await;
    let mut held = Vec::new();
    for _ in 0..2 {
        let near = payer.open(payee.public_key(), &at).await.unwrap();
        held.push((near, payee.accept().await.unwrap()));
    }
    let refused = payer.open(payee.public_key(), &at).await;
    assert_eq!(refused.unwrap_err(), OpenError::TurnedAway);
    held.pop();
    assert!(payer.open(payee.public_key(), &at).await.is_ok());
}

#[tokio::test]
async fn many_streams_opened_at_once_all_arrive() {
    let mut config = config(2, &[TCP]);
    config.limits.streams_per_peer = 32;
    let (payer, payee) = (node(1, &[TCP]), Node::start(config).unwrap());
    let at = payee.listen_addrs().await;
    let opened = (0..16).map(|_| payer.open(payee.public_key(), &at));
    for stream in futures::future::join_all(opened).await {
        stream.unwrap();
    }
}

#[tokio::test]
async fn nobody_is_reached_where_nobody_listens_or_nothing_is_known() {
    let (payer, gone) = (node(1, &[TCP]), node(2, &[TCP]));
    let (key, at) = (gone.public_key(), gone.listen_addrs().await);
    gone.close().await;
    let refused = payer.open(key, &at).await.unwrap_err();
    assert!(matches!(refused, OpenError::Unreachable(_)), "{refused}");
    assert_eq!(payer.open(key, &[]).await.unwrap_err(), OpenError::Unknown);
    let ourselves = payer.public_key();
    assert_eq!(payer.open(ourselves, &[]).await.unwrap_err(), OpenError::Ourselves);
    let no_key = PeerId([2; 32]); // Not a point of the curve.
    assert_eq!(payer.open(no_key, &at).await.unwrap_err(), OpenError::NotAKey);
}

#[tokio::test]
async fn a_port_in_use_is_named() {
    let first = node(1, &[TCP]);
    let taken = first.listen_addrs().await.remove(0);
    let mut second = config(2, &[]);
    second.listen = vec![taken.clone()];
    let refused = Node::start(second).err().unwrap();
    assert!(matches!(&refused, StartError::AddressTaken(at) if *at == taken), "{refused}");
}
