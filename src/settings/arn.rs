//! The parts of an Amazon Resource Name.

use super::Fault;

/// `arn:PARTITION:SERVICE:REGION:ACCOUNT:RESOURCE`, with a region and an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Arn<'a> {
    pub(super) region: &'a str,
    /// What follows the account; it may have colons of its own.
    pub(super) resource: &'a str,
}

/// Reads one of `service`; `form` is how such a one is written.
pub(super) fn parse<'a>(text: &'a str, service: &str, form: &str) -> Result<Arn<'a>, Fault> {
    let remedy = || format!("write {form}");
    let fields: Vec<&str> = text.splitn(6, ':').collect();
    let &["arn", partition, found, region, account, resource] = fields.as_slice() else {
        return Err(Fault::new("not an ARN", remedy()));
    };
    let plain = |text: &str| {
        !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    let rule = if found != service {
        format!("the ARN is one of another service than {service}")
    } else if !partition.starts_with("aws") || !plain(partition) {
        "the partition of the ARN is not AWS's".to_owned()
    } else if !plain(region) {
        "the ARN names no region".to_owned()
    } else if account.len() != 12 || !account.bytes().all(|byte| byte.is_ascii_digit()) {
        "the account of the ARN is not 12 digits".to_owned()
    } else {
        return Ok(Arn { region, resource });
    };
    Err(Fault::new(rule, remedy()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_is_looked_at() {
        let form = "arn:aws:sns:REGION:ACCOUNT:NAME";
        let arn = parse("arn:aws-cn:sns:cn-north-1:123456789012:a:b", "sns", form).unwrap();
        assert_eq!((arn.region, arn.resource), ("cn-north-1", "a:b"));
        for (text, rule) in [
            ("topic", "not an ARN"),
            ("arn:aws:sns:eu-west-1:123456789012", "not an ARN"),
            ("arn:aws:sqs:eu-west-1:123456789012:a", "another service"),
            ("arn:gcp:sns:eu-west-1:123456789012:a", "partition"),
            ("arn:aws:sns::123456789012:a", "no region"),
            ("arn:aws:sns:eu west 1:123456789012:a", "no region"),
            ("arn:aws:sns:eu-west-1:12345678901:a", "12 digits"),
            ("arn:aws:sns:eu-west-1:12345678901x:a", "12 digits"),
        ] {
            let fault = parse(text, "sns", form).unwrap_err();
            assert!(fault.rule.contains(rule) && fault.remedy.contains(form), "{text}: {}", fault.rule);
        }
    }
}
