//! The owner's names for others.

use farthing_core::id::PeerId;
use farthing_core::seal::SealPublic;
use farthing_core::sign::Signed;
use farthing_peer::talk::text;
use farthing_peer::wallet::{Contact, PaymentRequest, Wallet};

use super::{Contacts, Known};
use crate::fail::Failure;

/// Who made a request for payment: its key, the key to seal to, and an address.
pub(crate) fn known_by_request(text: &str) -> Result<(PeerId, Option<String>, Option<String>), Failure> {
    let wrong = |why: &dyn std::fmt::Display| Failure::usage(why).next("give peer1… or farthing:request1… whole");
    if !text::claims::<Signed<PaymentRequest>>(text) {
        return Err(wrong(&"this is neither a peer nor a request for payment"));
    }
    let request: Signed<PaymentRequest> = text::read(text).map_err(|why| wrong(&why))?;
    let body = request.peek().map_err(|why| wrong(&why))?;
    let peer = request.claimed_signer();
    if body.order.payee != peer {
        return Err(wrong(&"this request is not signed by whom it pays"));
    }
    Ok((peer, Some(text.trim().to_owned()), body.addresses().next().map(str::to_owned)))
}

/// Keeps a contact. What is known of it by a request must be signed by it.
pub(crate) async fn add(wallet: &Wallet, known: Known) -> Result<Contacts, Failure> {
    let seal = known.request.as_deref().map(|request| seal_of(wallet, known.peer, request)).transpose()?;
    let Known { name, peer, address, .. } = known;
    wallet.add_contact(Contact { name, peer, seal, address }).await?;
    list(wallet).await
}

fn seal_of(wallet: &Wallet, peer: PeerId, request: &str) -> Result<SealPublic, Failure> {
    let request: Signed<PaymentRequest> = text::read(request).map_err(Failure::usage)?;
    let proven = request.verify_by(wallet.network(), peer).map_err(|_| {
        Failure::usage("the request is not signed by whom it pays, or is for another bank; nothing was kept")
    })?;
    Ok(proven.body().seal)
}

/// All contacts.
pub(crate) async fn list(wallet: &Wallet) -> Result<Contacts, Failure> {
    let contacts = wallet.contacts().await?.into_iter().map(|contact| Known {
        name: contact.name,
        peer: contact.peer,
        seal: contact.seal.map(|seal| hex::encode(seal.0)),
        address: contact.address,
        request: None,
    });
    Ok(Contacts { contacts: contacts.collect() })
}
