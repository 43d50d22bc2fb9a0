//! `linkgate push`, `linkgate status` and `linkgate rollback`: the documents that nodes share, and what nodes made of them.

mod push;
mod rollback;
mod status;

use linkgate_core::config::etcd::{Etcd, EtcdSource, Head};

pub(super) use self::push::Args as PushArgs;
pub(super) use self::push::run as push;
pub(super) use self::rollback::Args as RollbackArgs;
pub(super) use self::rollback::run as rollback;
pub(super) use self::status::Args as StatusArgs;
pub(super) use self::status::run as status;

/// The etcd that a URL names; the error is a sentence.
fn etcd(url: &str) -> Result<Etcd, String> {
    let source = EtcdSource::parse_url(url);
    source.map(Etcd::new).map_err(|error| error.to_string())
}

/// Who pushes, where nobody says so.
fn somebody() -> String {
    let name = |variable| std::env::var(variable).ok();
    name("USER")
        .or_else(|| name("LOGNAME"))
        .unwrap_or_else(|| "unknown".to_owned())
}

/// `generation 7, 2026-11-25 19:40:12 UTC by ann: raise the limit`.
fn told(head: &Head) -> String {
    let at = std::time::Duration::from_millis(head.at);
    let note = match head.note.as_str() {
        "" => String::new(),
        note => format!(": {note}"),
    };
    format!(
        "generation {}, {} by {}{note}",
        head.generation,
        date(at.as_secs()),
        head.by
    )
}

/// Seconds since 1970 as a date and a time of UTC.
fn date(seconds: u64) -> String {
    // Days since 1 March of year 0, in eras of 400 years.
    let (days, rest) = (seconds / 86_400 + 719_468, seconds % 86_400);
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    format!("{year}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC")
}

#[cfg(test)]
mod tests {
    use super::date;

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (seconds, text) in [
            (0, "1970-01-01 00:00:00 UTC"),
            (951_782_399, "2000-02-28 23:59:59 UTC"),
            (951_782_400, "2000-02-29 00:00:00 UTC"),
            (1_795_633_721, "2026-11-25 19:08:41 UTC"),
            (4_107_542_400, "2100-03-01 00:00:00 UTC"),
        ] {
            assert_eq!(date(seconds), text);
        }
    }
}
