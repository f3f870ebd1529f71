//! Base64 in the three forms in use, and the values inside it.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use farthing_core::wire::{self, Wire};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{HEADER_BYTES_MAX, Unreadable};

pub(crate) fn url(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

pub(crate) fn read_url(text: &str) -> Result<Vec<u8>, Unreadable> {
    bounded(text)?;
    URL_SAFE_NO_PAD.decode(text).map_err(|_| Unreadable::Base64)
}

pub(crate) fn cbor<T: minicbor::Encode<()>>(value: &T) -> String {
    url(&wire::encode(value))
}

pub(crate) fn read_cbor<T: Wire>(text: &str) -> Result<T, Unreadable> {
    wire::decode(&read_url(text)?).map_err(|_| Unreadable::Cbor)
}

/// Plain structs of text and numbers always serialize.
pub(crate) fn json_url<T: Serialize>(value: &T) -> String {
    url(&serde_json::to_vec(value).unwrap_or_default())
}

pub(crate) fn read_json_url<T: DeserializeOwned>(text: &str) -> Result<T, Unreadable> {
    serde_json::from_slice(&read_url(text)?).map_err(|_| Unreadable::Json)
}

/// x402 writes standard base64 with padding.
pub(crate) fn json_padded<T: Serialize>(value: &T) -> String {
    STANDARD.encode(serde_json::to_vec(value).unwrap_or_default())
}

pub(crate) fn read_json_padded<T: DeserializeOwned>(text: &str) -> Result<T, Unreadable> {
    bounded(text)?;
    let bytes = STANDARD.decode(text).map_err(|_| Unreadable::Base64)?;
    serde_json::from_slice(&bytes).map_err(|_| Unreadable::Json)
}

pub(crate) const fn bounded(text: &str) -> Result<(), Unreadable> {
    if text.len() > HEADER_BYTES_MAX { Err(Unreadable::TooLong) } else { Ok(()) }
}
