//! Numbers as people read them.

/// Bytes per second with a binary unit where that is exact, e.g. `10 MiB/s`, else plainly, e.g. `1500 B/s`.
pub(super) fn byte_rate(bytes: f64) -> String {
    for (unit, size) in [("GiB", 1u64 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)] {
        let whole = bytes / size as f64;
        if whole >= 1.0 && whole.fract() == 0.0 {
            return format!("{whole} {unit}/s");
        }
    }
    format!("{bytes} B/s")
}

/// `1 user`, `2 users`.
pub(crate) fn counted(count: usize, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{plural}")
}

/// An instant to the minute, UTC.
pub(super) fn minute(at: jiff::Timestamp) -> String {
    format!("{} UTC", at.strftime("%Y-%m-%d %H:%M"))
}

/// `5 deliveries`, for nouns that end in -y.
pub(super) fn counted_as(count: usize, one: &str, several: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { several })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_have_a_unit_only_where_it_is_exact() {
        assert_eq!(byte_rate(10_485_760.0), "10 MiB/s");
        assert_eq!(byte_rate(1024.0), "1 KiB/s");
        assert_eq!(byte_rate(1500.0), "1500 B/s");
        assert_eq!(byte_rate(0.0), "0 B/s");
    }
}
