//! Contacts: names that the owner gave to keys. They are for people, and each leads to one key that
//! never changes by itself.

use farthing_core::id::PeerId;
use farthing_core::refusal::{Code, Refusal};
use farthing_core::seal::SealPublic;
use farthing_role::{Context, Halt, Scan};
use minicbor::{Decode, Encode};

use super::Wallet;
use super::error::WalletError;
use super::records::{self, CONTACTS};
use super::settings::NAMES_MAX;

/// The longest name, in bytes.
pub const CONTACT_NAME_MAX: usize = 64;

/// The longest address of a contact, in bytes.
pub const CONTACT_ADDRESS_MAX: usize = 512;

/// A contact.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Contact {
    /// What the owner calls it.
    pub name: String,
    /// Whom that is.
    pub peer: PeerId,
    /// The key to seal drafts to it, where it is known.
    pub seal: Option<SealPublic>,
    /// Where it was last, where that is known.
    pub address: Option<String>,
}

/// The row of a contact, under its name.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
struct Row {
    #[n(0)]
    peer: PeerId,
    #[n(1)]
    seal: Option<SealPublic>,
    #[n(2)]
    address: Option<String>,
}

impl Wallet {
    /// Adds a contact, or learns its sealing key or address anew. A name leads to one key, and a key
    /// has one name.
    ///
    /// # Errors
    /// [`WalletError`]: the name or the key is taken, or the name is none.
    pub async fn add_contact(&self, contact: Contact) -> Result<(), WalletError> {
        check_name(&contact.name)?;
        if contact.address.as_ref().is_some_and(|address| address.len() > CONTACT_ADDRESS_MAX) {
            return Err(refused("the contact's address is too long"));
        }
        if self.inner.settings.names.get(&contact.name).is_some_and(|peer| *peer != contact.peer) {
            return Err(refused("wallet.toml gives that name to another key: choose another name"));
        }
        let add = move |cx: &mut Context<'_>| {
            let all = rows(cx)?;
            for (name, row) in &all {
                if *name == contact.name && row.peer != contact.peer {
                    return Err(taken("that name is another key's: rename or remove that contact first"));
                }
                if *name != contact.name && row.peer == contact.peer {
                    return Err(taken("that key has another name: rename that contact"));
                }
            }
            let before = all.into_iter().find(|(name, _)| *name == contact.name).map(|(_, row)| row);
            if before.is_none() && rows(cx)?.len() >= NAMES_MAX {
                return Err(Refusal::new(Code::Limit, "too many contacts: remove some").into());
            }
            let (seal, address) = before.map_or((None, None), |row| (row.seal, row.address));
            let row = Row { peer: contact.peer, seal: contact.seal.or(seal), address: contact.address.or(address) };
            records::put(cx.tx, CONTACTS, contact.name.as_bytes(), &row);
            Ok(())
        };
        Ok(self.inner.handle.transact(add).await?)
    }

    /// Gives a contact another name.
    ///
    /// # Errors
    /// [`WalletError`]: no such contact, or the new name is taken or none.
    pub async fn rename_contact(&self, name: &str, new: &str) -> Result<(), WalletError> {
        check_name(new)?;
        let (old, new) = (name.to_owned(), new.to_owned());
        let named = self.inner.settings.names.get(&new).copied();
        let rename = move |cx: &mut Context<'_>| {
            let row: Option<Row> = records::get(&*cx.tx, CONTACTS, old.as_bytes())?;
            let row = row.ok_or_else(unknown)?;
            let used = cx.tx.get(CONTACTS, new.as_bytes())?.is_some() && old != new;
            if used || named.is_some_and(|peer| peer != row.peer) {
                return Err(taken("that name is taken"));
            }
            cx.tx.delete(CONTACTS, old.as_bytes());
            records::put(cx.tx, CONTACTS, new.as_bytes(), &row);
            Ok(())
        };
        Ok(self.inner.handle.transact(rename).await?)
    }

    /// Forgets a contact.
    ///
    /// # Errors
    /// [`WalletError`]: no such contact.
    pub async fn remove_contact(&self, name: &str) -> Result<(), WalletError> {
        let name = name.to_owned();
        let remove = move |cx: &mut Context<'_>| {
            if cx.tx.get(CONTACTS, name.as_bytes())?.is_none() {
                return Err(unknown().into());
            }
            cx.tx.delete(CONTACTS, name.as_bytes());
            Ok(())
        };
        Ok(self.inner.handle.transact(remove).await?)
    }

    /// All contacts by name, those of `wallet.toml` among them.
    ///
    /// # Errors
    /// [`WalletError`].
    pub async fn contacts(&self) -> Result<Vec<Contact>, WalletError> {
        let kept = self.inner.handle.transact(|cx| rows(cx)).await?;
        let mut all: Vec<_> = kept.into_iter().map(|(name, row)| Contact::of(name, row)).collect();
        for (name, peer) in &self.inner.settings.names {
            if all.iter().all(|contact| contact.name != *name) {
                all.push(Contact { name: name.clone(), peer: *peer, seal: None, address: None });
            }
        }
        all.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(all)
    }

    /// The contact of that name.
    ///
    /// # Errors
    /// [`WalletError`].
    pub async fn contact(&self, name: &str) -> Result<Option<Contact>, WalletError> {
        Ok(self.contacts().await?.into_iter().find(|contact| contact.name == name))
    }

    /// What the owner calls a key, to be shown beside it.
    ///
    /// # Errors
    /// [`WalletError`].
    pub async fn name_of(&self, peer: PeerId) -> Result<Option<String>, WalletError> {
        Ok(self.contacts().await?.into_iter().find(|contact| contact.peer == peer).map(|contact| contact.name))
    }
}

impl Contact {
    fn of(name: String, row: Row) -> Self {
        let Row { peer, seal, address } = row;
        Self { name, peer, seal, address }
    }
}

fn rows(cx: &Context<'_>) -> Result<Vec<(String, Row)>, Halt> {
    let found = cx.tx.scan(CONTACTS, Scan { prefix: &[], after: None, limit: NAMES_MAX })?;
    let read = |(key, value): (Vec<u8>, Vec<u8>)| {
        Ok((String::from_utf8_lossy(&key).into_owned(), records::read(CONTACTS, &value)?))
    };
    found.into_iter().map(read).collect()
}

/// A name that people can read back and that is not mistaken for a key or a request.
fn check_name(name: &str) -> Result<(), WalletError> {
    let plain = |c: char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_' | '.' | '\'' | '@' | '+');
    let trimmed = name.trim() == name && !name.is_empty() && name.len() <= CONTACT_NAME_MAX;
    if !trimmed || !name.chars().all(plain) || name.starts_with('-') || name.parse::<PeerId>().is_ok() {
        return Err(refused(
            "a contact's name has letters, digits, blanks or -_.'@+ and at most 64 bytes, and is no key itself",
        ));
    }
    Ok(())
}

fn refused(why: &'static str) -> WalletError {
    Refusal::new(Code::Policy, why).into()
}

fn taken(why: &'static str) -> Halt {
    Refusal::new(Code::Policy, why).into()
}

fn unknown() -> Refusal {
    Refusal::new(Code::Unknown, "there is no contact of that name")
}
