use proptest::prelude::*;

use super::*;

fn duration(text: &str) -> Result<Duration, String> {
    text.parse::<HumanDuration>()
        .map(Duration::from)
        .map_err(|error| error.to_string())
}

fn size(text: &str) -> Result<u64, String> {
    text.parse()
        .map(ByteSize::bytes)
        .map_err(|error| error.to_string())
}

fn rate(text: &str) -> Result<Rate, String> {
    text.parse().map_err(|error: UnitError| error.to_string())
}

#[test]
fn durations_are_read_as_people_write_them() {
    for (text, nanos) in [
        ("5s", 5_000_000_000),
        ("500ms", 500_000_000),
        ("2m", 120_000_000_000),
        ("1h30m", 5_400_000_000_000),
        ("1h 30m", 5_400_000_000_000),
        ("250us", 250_000),
        ("250µs", 250_000),
        ("1.5s", 1_500_000_000),
        ("0s", 0),
        ("1d", 86_400_000_000_000),
    ] {
        assert_eq!(duration(text), Ok(Duration::from_nanos(nanos)), "{text}");
    }
}

#[test]
fn a_wrong_duration_says_what_was_read_and_what_is_understood() {
    let forms = "expected a duration such as `500ms`, `5s`, `2m` or `1h30m`";
    assert_eq!(duration("5"), Err(format!("`5` has no unit: {forms}")));
    assert_eq!(duration(""), Err(format!("`` is empty: {forms}")));
    for text in [
        "soon",
        "5 seconds",
        "-5s",
        "5ss",
        "s",
        "1..5s",
        "0.1ns",
        "5s!",
        "1e3s",
    ] {
        assert_eq!(
            duration(text),
            Err(format!("`{text}` is not a duration: {forms}"))
        );
    }
    assert!(
        duration("3651d")
            .unwrap_err()
            .contains("longer than ten years")
    );
    assert!(duration("99999999999999999999d").is_err());
}

#[test]
fn sizes_are_read_as_people_write_them() {
    for (text, bytes) in [
        ("64KiB", 65_536),
        ("64kib", 65_536),
        ("1MB", 1_000_000),
        ("256B", 256),
        ("256", 256),
        ("1.5MiB", 1_572_864),
        ("0", 0),
        ("2 GiB", 2 << 30),
    ] {
        assert_eq!(size(text), Ok(bytes), "{text}");
    }
    for text in ["", "big", "64Ki", "64K", "-1", "1.5B", "MiB"] {
        assert_eq!(
            size(text),
            Err(format!(
                "`{text}` is not a size: expected a size such as `256B`, `64KiB`, `1MB`, or a whole number of bytes"
            ))
        );
    }
    assert!(size("99999999TiB").unwrap_err().contains("is more than"));
}

#[test]
fn rates_are_read_as_people_write_them() {
    let fifty = rate("50/s").unwrap();
    assert!((fifty.per_second() - 50.0).abs() < f64::EPSILON);
    assert_eq!(fifty.interval(), Duration::from_millis(20));
    assert_eq!(
        rate("1.5/s").unwrap().interval(),
        Duration::from_nanos(666_666_666)
    );
    assert_eq!(rate("10/h").unwrap().interval(), Duration::from_secs(360));
    assert_eq!(rate("60/m"), rate("1/s"));
    assert_ne!(rate("61/m"), rate("1/s"));
    assert_eq!(Rate::per_second_of(50), fifty);
}

#[test]
fn a_wrong_rate_says_what_was_read_and_what_is_understood() {
    let forms = "expected a rate such as `50/s`, `1.5/s`, `100/m` or `10/h`";
    assert_eq!(
        rate("50"),
        Err(format!("`50` does not say per which time: {forms}"))
    );
    for text in ["50/week", "/s", "-1/s", "many/s", "1.0005/s"] {
        assert_eq!(rate(text), Err(format!("`{text}` is not a rate: {forms}")));
    }
    assert!(rate("0/s").unwrap_err().contains("would let nothing pass"));
    assert!(rate("1000000001/s").unwrap_err().contains("is more than"));
}

#[test]
fn yaml_gives_the_same_values_and_the_same_words() {
    assert_eq!(
        serde_yaml::from_str::<ByteSize>("1024").unwrap(),
        ByteSize::kib(1)
    );
    assert_eq!(
        *serde_yaml::from_str::<HumanDuration>("1m").unwrap(),
        Duration::from_secs(60)
    );
    let error = serde_yaml::from_str::<HumanDuration>("60")
        .unwrap_err()
        .to_string();
    assert!(error.starts_with("`60` has no unit"), "{error}");
    let error = serde_yaml::from_str::<Rate>("[1]").unwrap_err().to_string();
    assert!(error.contains("expected a rate such as"), "{error}");
}

/// What is printed is read back as the same value, through serde too.
fn round_trip<T>(value: T) -> Result<(), TestCaseError>
where
    T: FromStr + fmt::Display + Serialize + for<'de> Deserialize<'de> + PartialEq + fmt::Debug,
    T::Err: fmt::Debug,
{
    let text = value.to_string();
    prop_assert_eq!(&text.parse::<T>().unwrap(), &value);
    let yaml = serde_yaml::to_string(&value).unwrap();
    prop_assert_eq!(serde_yaml::from_str::<T>(&yaml).unwrap(), value);
    Ok(())
}

proptest! {
    #[test]
    fn durations_round_trip(seconds in 0_u64..315_360_000, nanos in 0_u32..1_000_000_000) {
        round_trip(HumanDuration(Duration::new(seconds, nanos)))?;
    }

    #[test]
    fn sizes_round_trip(bytes: u64, shift in 0_u32..64) {
        round_trip(ByteSize(bytes >> shift << shift))?;
    }

    #[test]
    fn rates_round_trip(thousandths in 1_u64..1_000_000_000_000, period in 0_usize..4) {
        round_trip(Rate { thousandths, period: &Rate::PERIODS[period] })?;
    }

    #[test]
    fn no_text_panics(text in ".{0,24}", number in "[0-9.]{0,30}(d|h|KiB|/s)") {
        for text in [text, number] {
            let _ = (duration(&text), size(&text), rate(&text));
        }
    }
}
