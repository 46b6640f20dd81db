//! Durations in Go's syntax: `15m`, `1h30m`, `1.5h`.

use std::time::Duration;

use super::values::{ValueError, refuse_if};

/// Reads a positive duration (syntax: <https://pkg.go.dev/time#ParseDuration>).
pub(super) fn parse(text: &str) -> Result<Duration, ValueError> {
    const FIX: &str = "write a number and a unit, such as 15m or 1h30m";
    let has_no_unit = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    refuse_if(has_no_unit, "has no unit", FIX)?;
    refuse_if(text.starts_with('-'), "is negative", FIX)?;
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let (part, following) = read_part(rest).ok_or_else(|| ValueError::new("is not a duration", FIX))?;
        total = total.checked_add(part).ok_or_else(|| ValueError::new("is too long", FIX))?;
        rest = following;
    }
    refuse_if(total.is_zero(), "is not a duration above zero", FIX)?;
    Ok(total)
}

/// Reads one number with its unit. Returns the duration and the rest of the text.
fn read_part(text: &str) -> Option<(Duration, &str)> {
    let (number, rest) = text.split_at_checked(text.find(|c: char| !c.is_ascii_digit() && c != '.')?)?;
    let (unit, following) =
        rest.split_at(rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len()));
    let seconds = match unit {
        "ns" => 1e-9,
        "us" | "µs" | "μs" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return None,
    };
    let part = Duration::try_from_secs_f64(number.parse::<f64>().ok()? * seconds).ok()?;
    Some((part, following))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Result<u64, &str>) {
        let parsed = parse(text).map(|duration| duration.as_secs()).map_err(|error| error.problem);
        assert_eq!(parsed, expected.map_err(str::to_owned), "{text}");
    }

    #[test]
    fn durations_are_read_as_go_reads_them() {
        check("15m", Ok(900));
        check("1h30m", Ok(5400));
        check("1.5h", Ok(5400));
        check("900s", Ok(900));
        check("+2m30.5s", Ok(150));
        check("1500000ms", Ok(1500));
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        check("15", Err("has no unit"));
        check("-15m", Err("is negative"));
        check("0s", Err("is not a duration above zero"));
        check("", Err("is not a duration above zero"));
        for text in ["15 m", "m", "15min", "PT15M", "1h30", "1..5h", "15M", "٣m", "1h-1m"] {
            check(text, Err("is not a duration"));
        }
        check("99999999999999999999h", Err("is not a duration"));
    }
}
