//! The price file.

use std::num::NonZeroU32;
use std::path::Path;

use farthing_core::amount::{Amount, Currency, Rate};
use farthing_dialects::quote::UnitKind;
use serde::Deserialize;

use super::{Pattern, Price, Route, Tariff};

/// The most routes in a file.
pub const ROUTES_MAX: usize = 1_024;
/// The longest file.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// The longest name or description.
const WORDS_MAX: usize = 512;
/// The longest answer that is given without a service.
const ANSWER_BYTES_MAX: usize = 64 << 10;
/// The most methods of a route.
const METHODS_MAX: usize = 16;

/// Why prices do not take effect. Those in force before still are.
#[derive(Debug, thiserror::Error)]
pub enum PriceError {
    /// The file cannot be read.
    #[error("the price file cannot be read: {0}")]
    File(#[from] std::io::Error),
    /// Not TOML, or with something unknown in it.
    #[error("the price file does not read: {0}")]
    Syntax(String),
    /// It reads, and makes no sense.
    #[error("{place}: {why}")]
    Senseless {
        /// Where.
        place: String,
        /// What is wrong, and what would be right.
        why: String,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    price: Option<String>,
    coupon: Option<String>,
    #[serde(default)]
    name: String,
    #[serde(default)]
    description: String,
    /// For routes that do not say.
    #[serde(default)]
    charge_errors: bool,
    #[serde(default)]
    route: Vec<RouteEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RouteEntry {
    path: String,
    #[serde(default)]
    methods: Vec<String>,
    price: Option<String>,
    #[serde(default)]
    free: bool,
    #[serde(default = "request")]
    unit: UnitKind,
    per: Option<u64>,
    max: Option<String>,
    rate: Option<NonZeroU32>,
    #[serde(default)]
    free_tier: u32,
    description: Option<String>,
    answer: Option<String>,
    charge_errors: Option<bool>,
}

const fn request() -> UnitKind {
    UnitKind::Request
}

/// One price for every request.
///
/// # Errors
/// [`PriceError::Senseless`] for a price of nothing.
pub fn single(price: Amount) -> Result<Tariff, PriceError> {
    let file = File {
        price: Some(price.to_string()),
        coupon: None,
        name: String::new(),
        description: String::new(),
        charge_errors: false,
        route: Vec::new(),
    };
    check(file, price.currency())
}

/// Reads and checks a price file whose amounts must be in `currency`.
///
/// # Errors
/// [`PriceError`].
pub fn read(path: &Path, currency: Currency) -> Result<Tariff, PriceError> {
    if std::fs::metadata(path)?.len() > FILE_BYTES_MAX {
        return Err(PriceError::Syntax(format!("it is longer than {FILE_BYTES_MAX} bytes")));
    }
    parse(&std::fs::read_to_string(path)?, currency)
}

pub(crate) fn parse(text: &str, currency: Currency) -> Result<Tariff, PriceError> {
    let file: File = toml::from_str(text).map_err(|why| PriceError::Syntax(why.to_string()))?;
    check(file, currency)
}

fn senseless(place: &str, why: impl Into<String>) -> PriceError {
    PriceError::Senseless { place: place.to_owned(), why: why.into() }
}

fn amount(text: &str, currency: Currency, place: &str) -> Result<Amount, PriceError> {
    let amount: Amount = text.parse().map_err(|why| senseless(place, format!("{text:?}: {why}")))?;
    if amount.currency() != currency {
        return Err(senseless(place, format!("{text:?}: the bank keeps {currency}")));
    }
    if amount.is_zero() {
        return Err(senseless(place, "a price is more than nothing; for nothing write free = true"));
    }
    Ok(amount)
}

fn check(file: File, currency: Currency) -> Result<Tariff, PriceError> {
    if file.route.len() > ROUTES_MAX {
        return Err(senseless("routes", format!("there may be {ROUTES_MAX}")));
    }
    if file.name.len() > WORDS_MAX || file.description.len() > WORDS_MAX {
        return Err(senseless("name, description", format!("at most {WORDS_MAX} bytes each")));
    }
    let mut routes =
        file.route.iter().map(|entry| route(entry, currency, file.charge_errors)).collect::<Result<Vec<_>, _>>()?;
    if let Some(price) = &file.price {
        let price = amount(price, currency, "price")?;
        let (rate, charge_errors) = (Rate { price, per: 1 }, file.charge_errors);
        let price = Price { kind: UnitKind::Request, rate, max: price, charge_errors };
        routes.push(Route {
            pattern: Pattern::all(),
            methods: Vec::new(),
            price: Some(price),
            rate: None,
            free_tier: 0,
            description: None,
            answer: None,
        });
    }
    let closed = routes.last().is_some_and(|last| last.pattern.is_all() && last.methods.is_empty());
    if !closed {
        return Err(senseless("price", "give a price for all that no route names, or end with a route for /**"));
    }
    let priced = || routes.iter().filter_map(|route| route.price);
    let coupon = match &file.coupon {
        Some(coupon) => amount(coupon, currency, "coupon")?,
        None => priced()
            .filter(|price| price.kind == UnitKind::Request)
            .chain(priced())
            .map(|price| price.rate.price)
            .min_by_key(|price| price.as_micros())
            .ok_or_else(|| senseless("route", "nothing costs anything: a gateway is not needed for that"))?,
    };
    if let Some(route) = routes.iter().find(|route| route.price.is_some_and(|price| price.units(coupon).is_none())) {
        let why = format!("its price is more than a payment of coupons of {coupon} can be; set coupon higher");
        return Err(senseless(route.pattern.as_str(), why));
    }
    Ok(Tariff { coupon, name: file.name, description: file.description, routes })
}

fn route(entry: &RouteEntry, currency: Currency, charge_errors: bool) -> Result<Route, PriceError> {
    let place = format!("route {}", entry.path);
    let wrong = |why: &str| senseless(&place, why);
    let pattern = Pattern::new(&entry.path);
    let pattern = pattern.ok_or_else(|| wrong("a path begins with /, * is one segment, ** at the end the rest"))?;
    if entry.methods.len() > METHODS_MAX || !entry.methods.iter().all(|method| is_method(method)) {
        return Err(wrong("methods are written in capitals, such as GET"));
    }
    if entry.description.as_ref().is_some_and(|words| words.len() > WORDS_MAX) {
        return Err(wrong("the description is too long"));
    }
    if entry.answer.as_ref().is_some_and(|text| text.len() > ANSWER_BYTES_MAX) {
        return Err(senseless(&place, format!("an answer has at most {ANSWER_BYTES_MAX} bytes")));
    }
    let price = match (&entry.price, entry.free) {
        (None, true) if entry.charge_errors.is_some() => return Err(wrong("what is free charges for no answer")),
        (None, true) => None,
        (Some(price), false) => {
            let price = priced(entry, amount(price, currency, &place)?, currency, &place)?;
            Some(Price { charge_errors: entry.charge_errors.unwrap_or(charge_errors), ..price })
        }
        (Some(_), true) | (None, false) => return Err(wrong("give a price, or free = true, and not both")),
    };
    Ok(Route {
        pattern,
        methods: entry.methods.clone(),
        price,
        rate: entry.rate,
        free_tier: entry.free_tier,
        description: entry.description.clone(),
        answer: entry.answer.clone().map(Into::into),
    })
}

fn priced(entry: &RouteEntry, price: Amount, currency: Currency, place: &str) -> Result<Price, PriceError> {
    let wrong = |why: &str| senseless(place, why);
    let per = entry.per.unwrap_or(1);
    let max = match (&entry.max, entry.unit) {
        (None, UnitKind::Request) if per == 1 => price,
        (_, UnitKind::Request) => return Err(wrong("per and max are for bytes and seconds")),
        (Some(max), _) => amount(max, currency, place)?,
        (None, _) => return Err(wrong("bytes and seconds need a max: what is asked for beforehand")),
    };
    if per == 0 {
        return Err(wrong("per is at least 1"));
    }
    Ok(Price { kind: entry.unit, rate: Rate { price, per }, max, charge_errors: false })
}

fn is_method(text: &str) -> bool {
    (1..=20).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_uppercase())
}
