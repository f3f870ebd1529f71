//! What things cost: read from a file, checked whole, and only then in force.

mod file;
mod path;
#[cfg(test)]
mod tests;

use std::num::NonZeroU32;
use std::sync::{Arc, RwLock};

use bytes::Bytes;
use farthing_core::amount::{Amount, Currency, Rate};
use farthing_coupon::session::WINDOW;
use farthing_dialects::quote::UnitKind;

#[cfg(test)]
pub(crate) use file::parse;
pub use file::{PriceError, ROUTES_MAX, read, single};
pub use path::{BadPath, Pattern, plain};

/// The most routes that are named in a sentence.
const PLACES_SHOWN: usize = 5;

/// What one route costs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// Which paths.
    pub pattern: Pattern,
    /// Which methods; all if empty.
    pub methods: Vec<String>,
    /// What they cost; `None` for nothing.
    pub price: Option<Price>,
    /// Requests that one address may make in a second.
    pub rate: Option<NonZeroU32>,
    /// Requests that one address may make without paying, in each hour.
    pub free_tier: u32,
    /// In words, for the catalogue.
    pub description: Option<String>,
    /// What is answered, without asking the service.
    pub answer: Option<Bytes>,
}

/// A price.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Price {
    /// What is counted.
    pub kind: UnitKind,
    /// What so many of them cost.
    pub rate: Rate,
    /// The most that is asked for beforehand, in money; for [`UnitKind::Request`] the price itself.
    pub max: Amount,
    /// Whether an answer of 4xx costs as much as any other: the service's no is work too.
    pub charge_errors: bool,
}

/// All prices, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tariff {
    /// What one coupon is worth.
    pub coupon: Amount,
    /// The service's name.
    pub name: String,
    /// The service in words.
    pub description: String,
    /// Routes; the first that fits counts, and the last fits everything.
    pub routes: Vec<Route>,
}

impl Tariff {
    /// The route of a request, by its [`plain`] path, with its number.
    #[must_use]
    pub fn route(&self, method: &str, path: &str) -> Option<(usize, &Route)> {
        self.routes.iter().enumerate().find(|(_, route)| route.fits(method, path))
    }

    /// The number of the route for the same requests as one of another tariff, whatever it costs.
    #[must_use]
    pub fn number_of(&self, other: &Route) -> Option<usize> {
        self.routes.iter().position(|route| route.pattern == other.pattern && route.methods == other.methods)
    }

    /// Which answers cost something, in a sentence.
    #[must_use]
    pub fn charging(&self) -> String {
        let charged = |route: &&Route| route.price.is_some_and(|price| price.charge_errors);
        let places: Vec<&str> = self.routes.iter().filter(charged).map(|route| route.pattern.as_str()).collect();
        match places.len() {
            0 => "an answer of 4xx or 5xx costs nothing".to_owned(),
            1..=PLACES_SHOWN => format!("an answer of 5xx costs nothing, one of 4xx only at {}", places.join(", ")),
            more => {
                format!("an answer of 5xx costs nothing, one of 4xx only at {more} of {} routes", self.routes.len())
            }
        }
    }

    /// The most that one request is asked for beforehand.
    #[must_use]
    pub fn dearest(&self) -> Amount {
        let priced = self.routes.iter().filter_map(|route| route.price);
        priced.map(|price| price.max).max_by_key(|most| most.as_micros()).unwrap_or(self.coupon)
    }

    /// Its currency.
    #[must_use]
    pub const fn currency(&self) -> Currency {
        self.coupon.currency()
    }
}

impl Route {
    fn fits(&self, method: &str, path: &str) -> bool {
        (self.methods.is_empty() || self.methods.iter().any(|known| known == method)) && self.pattern.fits(path)
    }
}

impl Price {
    /// How many coupons to ask for.
    #[must_use]
    pub fn units(&self, coupon: Amount) -> Option<u32> {
        let units = u32::try_from(self.max.units_of(coupon)?).ok()?;
        (1..=WINDOW).contains(&units).then_some(units)
    }
}

/// The tariff in force. Readers keep the one they began with.
#[derive(Debug)]
pub struct Prices(RwLock<Arc<Tariff>>);

impl Prices {
    /// A tariff in force from now on.
    #[must_use]
    pub fn new(tariff: Tariff) -> Self {
        Self(RwLock::new(Arc::new(tariff)))
    }

    /// What is in force now.
    #[must_use]
    pub fn now(&self) -> Arc<Tariff> {
        Arc::clone(&self.0.read().unwrap_or_else(std::sync::PoisonError::into_inner))
    }

    /// Puts another in force.
    pub fn change(&self, tariff: Tariff) {
        *self.0.write().unwrap_or_else(std::sync::PoisonError::into_inner) = Arc::new(tariff);
    }
}
