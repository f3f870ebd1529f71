//! Money: a count of micros with its currency, and arithmetic that refuses rather than wraps.

use core::fmt;
use core::str::FromStr;

use minicbor::{Decode, Decoder, Encode, Encoder};

/// Micros in one unit of currency: the smallest amount is a millionth.
pub const MICROS_PER_UNIT: u64 = 1_000_000;

/// The largest amount anything may name: 2^56 micros, some 72 thousand million units. Sums of a
/// hundred such amounts still fit a signed 64-bit column of a database.
pub const AMOUNT_MAX_MICROS: u64 = 1 << 56;

/// A currency: three capital letters, as in ISO 4217 (`USD`, `EUR`; `XTS` is the code for tests).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Currency([u8; 3]);

impl Currency {
    /// The currency ISO 4217 sets aside for testing.
    pub const XTS: Self = Self(*b"XTS");

    /// The three letters.
    #[must_use]
    pub fn code(&self) -> &str {
        // Only capital ASCII letters get in, so this is text.
        core::str::from_utf8(&self.0).unwrap_or("???")
    }

    /// Three capital letters, nothing else.
    ///
    /// # Errors
    /// [`AmountError::Currency`] for anything but three letters `A` to `Z`.
    pub fn new(code: [u8; 3]) -> Result<Self, AmountError> {
        if code.iter().all(u8::is_ascii_uppercase) { Ok(Self(code)) } else { Err(AmountError::Currency) }
    }

    /// No money of this currency.
    #[must_use]
    pub const fn zero(self) -> Amount {
        Amount { currency: self, micros: 0 }
    }

    /// So many micros of this currency.
    ///
    /// # Errors
    /// [`AmountError::TooLarge`] above [`AMOUNT_MAX_MICROS`].
    pub const fn micros(self, micros: u64) -> Result<Amount, AmountError> {
        if micros > AMOUNT_MAX_MICROS {
            return Err(AmountError::TooLarge);
        }
        Ok(Amount { currency: self, micros })
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl FromStr for Currency {
    type Err = AmountError;

    fn from_str(text: &str) -> Result<Self, AmountError> {
        Self::new(text.as_bytes().try_into().map_err(|_| AmountError::Currency)?)
    }
}

/// Money of one currency, in micros. It has no `+`: an overflow or a mix of currencies that a
/// stranger can cause must be an answer, not a panic.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Amount {
    currency: Currency,
    micros: u64,
}

/// Why a piece of text or a sum is not an amount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AmountError {
    /// Not three capital letters.
    #[error("a currency is three capital letters, such as USD")]
    Currency,
    /// Not a plain decimal number.
    #[error("an amount is a plain decimal number and a currency, such as `0.0005 USD`")]
    Number,
    /// More than six decimals.
    #[error("an amount has at most six decimals: the smallest is 0.000001")]
    TooFine,
    /// Above [`AMOUNT_MAX_MICROS`], or below nothing.
    #[error("the amount is out of range (0 to {} units)", AMOUNT_MAX_MICROS / MICROS_PER_UNIT)]
    TooLarge,
    /// Two currencies in one sum.
    #[error("{0} and {1} cannot be added or compared")]
    Mixed(Currency, Currency),
}

impl Amount {
    /// Its currency.
    #[must_use]
    pub const fn currency(self) -> Currency {
        self.currency
    }

    /// Its size in millionths of a unit.
    #[must_use]
    pub const fn as_micros(self) -> u64 {
        self.micros
    }

    /// Whether it is nothing at all.
    #[must_use]
    pub const fn is_zero(self) -> bool {
        self.micros == 0
    }

    /// The sum.
    ///
    /// # Errors
    /// [`AmountError::Mixed`] or [`AmountError::TooLarge`].
    pub fn checked_add(self, other: Self) -> Result<Self, AmountError> {
        self.same_currency(other)?;
        self.currency.micros(self.micros.checked_add(other.micros).ok_or(AmountError::TooLarge)?)
    }

    /// The difference.
    ///
    /// # Errors
    /// [`AmountError::Mixed`], or [`AmountError::TooLarge`] where `other` is larger.
    pub fn checked_sub(self, other: Self) -> Result<Self, AmountError> {
        self.same_currency(other)?;
        self.currency.micros(self.micros.checked_sub(other.micros).ok_or(AmountError::TooLarge)?)
    }

    /// The amount so many times.
    ///
    /// # Errors
    /// [`AmountError::TooLarge`].
    pub fn checked_mul(self, times: u64) -> Result<Self, AmountError> {
        self.currency.micros(self.micros.checked_mul(times).ok_or(AmountError::TooLarge)?)
    }

    /// How many whole units of `unit` cover this amount, rounded up; `None` for a unit of nothing
    /// or of another currency.
    #[must_use]
    pub fn units_of(self, unit: Self) -> Option<u64> {
        (unit.currency == self.currency && unit.micros > 0).then(|| self.micros.div_ceil(unit.micros))
    }

    /// Compares two amounts of one currency.
    ///
    /// # Errors
    /// [`AmountError::Mixed`].
    pub fn compare(self, other: Self) -> Result<core::cmp::Ordering, AmountError> {
        self.same_currency(other)?;
        Ok(self.micros.cmp(&other.micros))
    }

    fn same_currency(self, other: Self) -> Result<(), AmountError> {
        if self.currency == other.currency { Ok(()) } else { Err(AmountError::Mixed(self.currency, other.currency)) }
    }
}

impl fmt::Display for Amount {
    /// Two decimals at least, six at most: `0.0005 USD`, `12.00 USD`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fraction = format!("{:06}", self.micros % MICROS_PER_UNIT);
        let shown = fraction.trim_end_matches('0').len().max(2);
        let text = format!("{}.{} {}", self.micros / MICROS_PER_UNIT, &fraction[..shown], self.currency);
        f.pad(&text)
    }
}

impl fmt::Debug for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Amount {
    type Err = AmountError;

    /// Reads `0.0005 USD`: digits, at most one point, at most six decimals, a space, a currency.
    fn from_str(text: &str) -> Result<Self, AmountError> {
        let (number, currency) = text.trim().rsplit_once(' ').ok_or(AmountError::Number)?;
        let currency: Currency = currency.parse()?;
        currency.micros(parse_micros(number.trim_end())?)
    }
}

/// Reads a plain decimal number of at most six decimals as micros.
///
/// # Errors
/// [`AmountError::Number`], [`AmountError::TooFine`] or [`AmountError::TooLarge`].
pub fn parse_micros(number: &str) -> Result<u64, AmountError> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole) || !digits(fraction) {
        return Err(AmountError::Number);
    }
    if fraction.len() > 6 {
        return Err(AmountError::TooFine);
    }
    let whole: u64 = whole.parse().map_err(|_| AmountError::TooLarge)?;
    let fraction: u64 = format!("{fraction:0<6}").parse().map_err(|_| AmountError::Number)?;
    whole
        .checked_mul(MICROS_PER_UNIT)
        .and_then(|micros| micros.checked_add(fraction))
        .filter(|micros| *micros <= AMOUNT_MAX_MICROS)
        .ok_or(AmountError::TooLarge)
}

/// A price per many units, for what costs less than a micro a piece (bytes, say).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Encode, Decode)]
pub struct Rate {
    /// What `per` units cost.
    #[n(0)]
    pub price: Amount,
    /// How many units that price covers; never zero.
    #[n(1)]
    pub per: u64,
}

impl Rate {
    /// What `units` cost, rounded up once to a whole micro.
    ///
    /// # Errors
    /// [`AmountError::TooLarge`], also for a rate per nothing.
    pub fn charge(self, units: u64) -> Result<Amount, AmountError> {
        if self.per == 0 {
            return Err(AmountError::TooLarge);
        }
        let micros = (u128::from(self.price.micros) * u128::from(units)).div_ceil(u128::from(self.per));
        self.price.currency.micros(u64::try_from(micros).map_err(|_| AmountError::TooLarge)?)
    }
}

impl<C> Encode<C> for Currency {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.bytes(&self.0)?.ok()
    }
}

impl<'b, C> Decode<'b, C> for Currency {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
        let bytes = d.bytes()?;
        bytes
            .try_into()
            .ok()
            .and_then(|code| Self::new(code).ok())
            .ok_or_else(|| minicbor::decode::Error::message("not a currency"))
    }
}

impl<C> Encode<C> for Amount {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut Encoder<W>,
        c: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.array(2)?;
        self.currency.encode(e, c)?;
        e.u64(self.micros)?.ok()
    }
}

impl<'b, C> Decode<'b, C> for Amount {
    fn decode(d: &mut Decoder<'b>, c: &mut C) -> Result<Self, minicbor::decode::Error> {
        if d.array()? != Some(2) {
            return Err(minicbor::decode::Error::message("an amount is a currency and micros"));
        }
        let currency = Currency::decode(d, c)?;
        currency.micros(d.u64()?).map_err(|_| minicbor::decode::Error::message("amount out of range"))
    }
}

impl serde::Serialize for Amount {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Amount {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}

impl serde::Serialize for Currency {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Currency {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn amounts_read_as_they_are_shown() {
        for (text, micros) in [("0.0005 USD", 500), ("12.00 USD", 12_000_000), ("0.000001 USD", 1)] {
            let amount: Amount = text.parse().unwrap();
            assert_eq!(amount.as_micros(), micros);
            assert_eq!(amount.to_string(), text);
        }
        assert_eq!("7 EUR".parse::<Amount>().unwrap().to_string(), "7.00 EUR");
    }

    #[test]
    fn rubbish_is_not_an_amount() {
        for text in [
            "",
            "1",
            "USD",
            "-1 USD",
            "+1 USD",
            "1e3 USD",
            "1,5 USD",
            ".5 USD",
            "5. USD",
            "1.2.3 USD",
            "0x1 USD",
            "1 usd",
            "1 USDT",
            "1 U$D",
            "\u{0661} USD",
            "1.0000001 USD",
            "99999999999999999999 USD",
            "72057594038 USD",
        ] {
            assert!(text.parse::<Amount>().is_err(), "{text:?} was read as an amount");
        }
    }

    #[test]
    fn two_currencies_are_never_added() {
        let usd: Amount = "1 USD".parse().unwrap();
        let eur: Amount = "1 EUR".parse().unwrap();
        assert!(matches!(usd.checked_add(eur), Err(AmountError::Mixed(..))));
        assert!(matches!(usd.compare(eur), Err(AmountError::Mixed(..))));
        assert_eq!(usd.units_of(eur), None);
    }

    #[test]
    fn a_rate_rounds_up_once() {
        let rate = Rate { price: "0.000003 USD".parse().unwrap(), per: 1000 };
        assert_eq!(rate.charge(1).unwrap().as_micros(), 1);
        assert_eq!(rate.charge(1000).unwrap().as_micros(), 3);
        assert_eq!(rate.charge(1001).unwrap().as_micros(), 4);
        assert!(Rate { per: 0, ..rate }.charge(1).is_err());
    }

    proptest! {
        #[test]
        fn every_amount_survives_text_and_wire(micros in 0..=AMOUNT_MAX_MICROS) {
            let amount = Currency::XTS.micros(micros).unwrap();
            prop_assert_eq!(amount.to_string().parse::<Amount>().unwrap(), amount);
            let bytes = crate::wire::encode(&amount);
            prop_assert_eq!(crate::wire::decode::<Amount>(&bytes).unwrap(), amount);
        }

        #[test]
        fn sums_never_wrap(a in any::<u64>(), b in any::<u64>()) {
            if let (Ok(a), Ok(b)) = (Currency::XTS.micros(a), Currency::XTS.micros(b)) {
                let wide = u128::from(a.as_micros()) + u128::from(b.as_micros());
                match a.checked_add(b) {
                    Ok(sum) => prop_assert_eq!(u128::from(sum.as_micros()), wide),
                    Err(_) => prop_assert!(wide > u128::from(AMOUNT_MAX_MICROS)),
                }
            }
        }
    }
}
