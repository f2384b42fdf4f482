//! Which format a scraper gets, by its `Accept` header.

/// What `/metrics` can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Prometheus' text format 0.0.4, for whoever names nothing better.
    Text,
    /// `OpenMetrics` 1.0.
    OpenMetrics,
    /// Prometheus' protobuf: the one that carries native histograms.
    Protobuf,
}

impl Format {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Text, Self::OpenMetrics, Self::Protobuf];

    /// The one that `accept` likes best (RFC 9110, 12.5.1); of equals, the one that it names first. A header that
    /// names none of ours gets the text: a scraper that can read nothing is of no use to anybody.
    #[must_use]
    pub fn chosen(accept: Option<&str>) -> Self {
        let mut best = (Self::Text, 0);
        for (format, weight) in accept.into_iter().flat_map(|accept| accept.split(',')).filter_map(range) {
            if weight > best.1 {
                best = (format, weight);
            }
        }
        best.0
    }

    /// What the body is called.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Protobuf => {
                "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"
            }
        }
    }
}

/// One media range that is ours, with its weight in thousandths.
fn range(range: &str) -> Option<(Format, u32)> {
    let mut parts = range.split(';').map(str::trim);
    let kind = parts.next()?.to_ascii_lowercase();
    let parameters: Vec<(String, &str)> = parts
        .filter_map(|part| part.split_once('='))
        .map(|(name, value)| (name.trim().to_ascii_lowercase(), value.trim().trim_matches('"')))
        .collect();
    // Another version than ours is another format.
    let is = |name: &str, ours: &[&str]| {
        parameters.iter().filter(|(each, _)| each == name).all(|(_, value)| ours.contains(value))
    };
    let has = |name: &str| parameters.iter().any(|(each, _)| each == name);
    let format = match &*kind {
        "text/plain" if is("version", &["0.0.4"]) => Format::Text,
        "text/*" | "*/*" => Format::Text,
        "application/openmetrics-text" if is("version", &["1.0.0"]) => Format::OpenMetrics,
        "application/vnd.google.protobuf"
            if has("proto")
                && is("proto", &["io.prometheus.client.MetricFamily"])
                && is("encoding", &["delimited"]) =>
        {
            Format::Protobuf
        }
        _ => return None,
    };
    let weight = parameters.iter().find(|(name, _)| name == "q").map_or(Some(1_000), |(_, q)| weight(q))?;
    Some((format, weight))
}

/// A weight of 0 to 1 with three decimals, in thousandths; anything else is no weight.
fn weight(q: &str) -> Option<u32> {
    let q: f64 = q.parse().ok()?;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 1,000")]
    (0.0..=1.0).contains(&q).then(|| (q * 1_000.0).round() as u32)
}

#[cfg(test)]
mod tests {
    use super::Format::{OpenMetrics, Protobuf, Text};
    use super::*;

    #[test]
    fn a_scraper_gets_what_it_likes_best() {
        for (accept, wants) in [
            // Prometheus 3 without native histograms, with them; Prometheus 2; curl; a browser.
            (
                "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;\
                 version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,\
                 */*;q=0.2",
                OpenMetrics,
            ),
            (
                "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.6,\
                 application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,text/plain;version=0.0.4;q=0.2",
                Protobuf,
            ),
            (
                "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,*/*;q=0.1",
                OpenMetrics,
            ),
            ("*/*", Text),
            ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", Text),
            // The heaviest, wherever it stands; of equals the first.
            ("text/plain;q=0.3, application/openmetrics-text;q=0.31", OpenMetrics),
            ("text/plain, application/openmetrics-text", Text),
            ("application/openmetrics-text, text/plain", OpenMetrics),
            // Refused, or not a weight.
            ("application/openmetrics-text;q=0, text/plain;q=0.1", Text),
            ("application/openmetrics-text;q=2, text/plain;q=0.1", Text),
            ("application/openmetrics-text;q=NaN, text/plain;q=0.1", Text),
            // Other versions and messages than ours.
            ("application/openmetrics-text;version=0.0.1", Text),
            ("application/vnd.google.protobuf", Text),
            (
                "application/vnd.google.protobuf;proto=other.Message;encoding=delimited, application/openmetrics-text;q=0.1",
                OpenMetrics,
            ),
            (
                "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=text, application/openmetrics-text;q=0.1",
                OpenMetrics,
            ),
            ("text/plain;version=1.0.0, application/openmetrics-text;q=0.1", OpenMetrics),
            ("APPLICATION/OpenMetrics-Text; Version=\"1.0.0\"", OpenMetrics),
            ("image/png", Text),
            ("", Text),
        ] {
            assert_eq!(Format::chosen(Some(accept)), wants, "{accept}");
        }
        assert_eq!(Format::chosen(None), Text);
    }

    #[test]
    fn each_is_chosen_by_its_own_name() {
        for format in Format::ALL {
            assert_eq!(Format::chosen(Some(format.content_type())), format);
        }
    }
}
