//! Durations, sizes and rates as people write them in YAML, read and written alike.
//!
//! Only text to value and back; what a sensible value is belongs to whoever holds the field.

use std::{borrow::Cow, fmt, ops::Deref, str::FromStr, time::Duration};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Why a text is no duration, size or rate: what was read, and which forms are understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnitError(String);

impl fmt::Display for UnitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for UnitError {}

/// A length of time: `5s`, `500ms`, `2m`, `1h30m`, `250us`, `1d`. At most ten years, so that adding it to a clock is safe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct HumanDuration(Duration);

impl HumanDuration {
    const FORMS: &'static str = "a duration such as `500ms`, `5s`, `2m` or `1h30m`";
    const LONGEST: Duration = Duration::from_secs(3_650 * 86_400);
    /// From the longest to the shortest, with the nanoseconds in each.
    const UNITS: [(&'static str, u128); 7] = [
        ("d", 86_400_000_000_000),
        ("h", 3_600_000_000_000),
        ("m", 60_000_000_000),
        ("s", 1_000_000_000),
        ("ms", 1_000_000),
        ("us", 1_000),
        ("ns", 1),
    ];
}

impl Deref for HumanDuration {
    type Target = Duration;

    fn deref(&self) -> &Duration {
        &self.0
    }
}

impl From<Duration> for HumanDuration {
    fn from(duration: Duration) -> Self {
        Self(duration)
    }
}

impl From<HumanDuration> for Duration {
    fn from(duration: HumanDuration) -> Self {
        duration.0
    }
}

impl FromStr for HumanDuration {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let wrong = |why: &str| UnitError(format!("`{text}` {why}: expected {}", Self::FORMS));
        let mut rest = text.trim();
        if rest.is_empty() {
            return Err(wrong("is empty"));
        }
        let mut total: u128 = 0;
        while !rest.is_empty() {
            let (number, tail) = split(rest, |c| c.is_ascii_digit() || c == '.');
            let (unit, tail) = split(tail, |c| !(c.is_ascii_digit() || c == '.'));
            let nanos = match unit.trim() {
                "" => return Err(wrong("has no unit")),
                "µs" => 1_000,
                unit => Self::UNITS
                    .iter()
                    .find(|(name, _)| *name == unit)
                    .map(|(_, nanos)| *nanos)
                    .ok_or_else(|| wrong("is not a duration"))?,
            };
            let part = scaled(number, nanos).ok_or_else(|| wrong("is not a duration"))?;
            total = total
                .checked_add(part)
                .ok_or_else(|| wrong("is too long"))?;
            rest = tail.trim_start();
        }
        let nanos_of_second = u32::try_from(total % 1_000_000_000).unwrap_or_default();
        u64::try_from(total / 1_000_000_000)
            .map(|seconds| Duration::new(seconds, nanos_of_second))
            .ok()
            .filter(|duration| *duration <= Self::LONGEST)
            .map(Self)
            .ok_or_else(|| UnitError(format!("`{text}` is longer than ten years (3650d)")))
    }
}

impl fmt::Display for HumanDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0.as_nanos();
        if rest == 0 {
            return f.write_str("0s");
        }
        for (unit, nanos) in Self::UNITS {
            if rest >= nanos {
                write!(f, "{}{unit}", rest / nanos)?;
                rest %= nanos;
            }
        }
        Ok(())
    }
}

/// A number of bytes: `64KiB`, `1MB`, `256B`, or a plain integer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ByteSize(u64);

impl ByteSize {
    const FORMS: &'static str = "a size such as `256B`, `64KiB`, `1MB`, or a whole number of bytes";
    /// Binary units first, so that display prefers them; the last one always divides.
    const UNITS: [(&'static str, u64); 9] = [
        ("TiB", 1 << 40),
        ("GiB", 1 << 30),
        ("MiB", 1 << 20),
        ("KiB", 1 << 10),
        ("TB", 1_000_000_000_000),
        ("GB", 1_000_000_000),
        ("MB", 1_000_000),
        ("KB", 1_000),
        ("B", 1),
    ];

    /// That many bytes.
    pub const fn new(bytes: u64) -> Self {
        Self(bytes)
    }

    /// That many times 1,024 bytes.
    pub const fn kib(n: u64) -> Self {
        Self(n << 10)
    }

    /// That many times 1,048,576 bytes.
    pub const fn mib(n: u64) -> Self {
        Self(n << 20)
    }

    /// In bytes.
    pub const fn bytes(self) -> u64 {
        self.0
    }

    /// In bytes, at most what this machine can address.
    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl FromStr for ByteSize {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let wrong = || UnitError(format!("`{text}` is not a size: expected {}", Self::FORMS));
        let (number, unit) = split(text.trim(), |c| c.is_ascii_digit() || c == '.');
        let unit = unit.trim();
        let bytes = match unit {
            "" => 1,
            _ => Self::UNITS
                .iter()
                .find(|(name, _)| name.eq_ignore_ascii_case(unit))
                .map(|(_, bytes)| *bytes)
                .ok_or_else(wrong)?,
        };
        let total = scaled(number, u128::from(bytes)).ok_or_else(wrong)?;
        u64::try_from(total)
            .map(Self)
            .map_err(|_| UnitError(format!("`{text}` is more than {} bytes", u64::MAX)))
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fits = |unit: u64| self.0 >= unit && self.0.is_multiple_of(unit);
        match Self::UNITS.iter().find(|(_, unit)| fits(*unit)) {
            Some((name, unit)) => write!(f, "{}{name}", self.0 / unit),
            None => write!(f, "{}B", self.0),
        }
    }
}

/// So many events in a period: `50/s`, `1.5/s`, `100/m`, `10/h`, `5/d`. Never zero; at most three decimals and a thousand million a second.
#[derive(Debug, Clone, Copy)]
pub struct Rate {
    /// Thousandths of an event in one period, at least 1.
    thousandths: u64,
    period: &'static (&'static str, u64),
}

impl Rate {
    const FORMS: &'static str = "a rate such as `50/s`, `1.5/s`, `100/m` or `10/h`";
    /// With the seconds in each.
    const PERIODS: [(&'static str, u64); 4] = [("s", 1), ("m", 60), ("h", 3_600), ("d", 86_400)];
    const MOST_PER_SECOND: u64 = 1_000_000_000;

    /// That many events in a second; zero counts as one, and more than 1,000,000,000 as that.
    pub fn per_second_of(events: u32) -> Self {
        Self {
            thousandths: u64::from(events).clamp(1, Self::MOST_PER_SECOND) * 1_000,
            period: &Self::PERIODS[0],
        }
    }

    /// Events in one second, as a mean.
    #[allow(clippy::cast_precision_loss)]
    pub fn per_second(&self) -> f64 {
        self.thousandths as f64 / (self.period.1 as f64 * 1_000.0)
    }

    /// Between two events, when they are spread evenly; at least 1 ns.
    pub fn interval(&self) -> Duration {
        let nanos = u128::from(self.period.1) * 1_000_000_000_000 / u128::from(self.thousandths);
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

/// By meaning: `60/m` equals `1/s`.
impl PartialEq for Rate {
    fn eq(&self, other: &Self) -> bool {
        let cross = |a: &Self, b: &Self| u128::from(a.thousandths) * u128::from(b.period.1);
        cross(self, other) == cross(other, self)
    }
}

impl Eq for Rate {}

impl FromStr for Rate {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let wrong = |why: &str| UnitError(format!("`{text}` {why}: expected {}", Self::FORMS));
        let (events, period) = text
            .split_once('/')
            .ok_or_else(|| wrong("does not say per which time"))?;
        let period = Self::PERIODS
            .iter()
            .find(|(name, _)| *name == period.trim())
            .ok_or_else(|| wrong("is not a rate"))?;
        let thousandths = scaled(events.trim(), 1_000)
            .and_then(|n| u64::try_from(n).ok())
            .ok_or_else(|| wrong("is not a rate"))?;
        if thousandths == 0 {
            return Err(UnitError(format!(
                "`{text}` would let nothing pass: a rate is more than 0"
            )));
        }
        if thousandths / 1_000 / period.1 > Self::MOST_PER_SECOND {
            return Err(UnitError(format!(
                "`{text}` is more than {} a second",
                Self::MOST_PER_SECOND
            )));
        }
        Ok(Self {
            thousandths,
            period,
        })
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, part) = (self.thousandths / 1_000, self.thousandths % 1_000);
        write!(f, "{whole}")?;
        if part > 0 {
            let decimals = format!("{part:03}");
            write!(f, ".{}", decimals.trim_end_matches('0'))?;
        }
        write!(f, "/{}", self.period.0)
    }
}

/// Splits before the first character that `belongs` refuses.
fn split(text: &str, belongs: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(|c| !belongs(c)).unwrap_or(text.len()))
}

/// `number`, whole or with decimals, times `unit`; `None` if it is no number, too large, or leaves a fraction.
fn scaled(number: &str, unit: u128) -> Option<u128> {
    let (whole, decimals) = number.split_once('.').unwrap_or((number, "0"));
    let digits = |text: &str| {
        !text.is_empty() && text.len() <= 20 && text.bytes().all(|b| b.is_ascii_digit())
    };
    if !digits(whole) || !digits(decimals) {
        return None;
    }
    let places = 10_u128.pow(u32::try_from(decimals.len()).ok()?);
    let part = decimals.parse::<u128>().ok()?.checked_mul(unit)?;
    if part % places != 0 {
        return None;
    }
    whole
        .parse::<u128>()
        .ok()?
        .checked_mul(unit)?
        .checked_add(part / places)
}

/// Serde and schema by way of `FromStr` and `Display`.
macro_rules! read_as_text {
    ($type:ident, $name:literal, number: $from_number:expr, schema: $schema:tt) => {
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Visitor;
                impl de::Visitor<'_> for Visitor {
                    type Value = $type;

                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str($type::FORMS)
                    }

                    fn visit_str<E: de::Error>(self, text: &str) -> Result<$type, E> {
                        text.parse().map_err(E::custom)
                    }

                    fn visit_u64<E: de::Error>(self, number: u64) -> Result<$type, E> {
                        let from_number: fn(u64) -> Result<$type, UnitError> = $from_number;
                        from_number(number).map_err(E::custom)
                    }
                }
                deserializer.deserialize_any(Visitor)
            }
        }

        impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                $name.into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($schema)
            }
        }
    };
}

read_as_text!(HumanDuration, "Duration",
number: |n| n.to_string().parse(),
schema: {
    "type": "string",
    "description": "A length of time: `500ms`, `5s`, `2m`, `1h30m`.",
    "pattern": r"^\s*([0-9]+(\.[0-9]+)?\s*(d|h|m|s|ms|us|µs|ns)\s*)+$",
    "examples": ["500ms", "5s", "2m", "1h30m"]
});

read_as_text!(ByteSize, "Size",
number: |n| Ok(ByteSize(n)),
schema: {
    "type": ["string", "integer"],
    "description": "A number of bytes: `256B`, `64KiB`, `1MB`, or a plain integer.",
    "pattern": r"^\s*[0-9]+(\.[0-9]+)?\s*([KkMmGgTt]?[Ii]?[Bb])?\s*$",
    "minimum": 0,
    "examples": ["256B", "64KiB", "1MB"]
});

read_as_text!(Rate, "Rate",
number: |n| n.to_string().parse(),
schema: {
    "type": "string",
    "description": "So many events in a period, more than zero: `50/s`, `100/m`, `10/h`.",
    "pattern": r"^\s*[0-9]+(\.[0-9]{1,3})?\s*/\s*(s|m|h|d)\s*$",
    "examples": ["50/s", "1.5/s", "100/m", "10/h"]
});

#[cfg(test)]
mod tests;
