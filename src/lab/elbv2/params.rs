//! The parameters of an AWS Query call: flat names such as `Actions.member.1.ForwardConfig.…`, read as a tree.

use super::refusal::Refusal;
use std::collections::BTreeMap;
use std::str::FromStr;

/// One level of the tree.
#[derive(Clone, Debug, Default)]
pub(super) struct Params(BTreeMap<String, String>);

impl Params {
    /// Reads a form-encoded body.
    pub(super) fn parse(body: &[u8]) -> Self {
        Self(form_urlencoded::parse(body).into_owned().collect())
    }

    /// One list with one member.
    pub(super) fn one(name: &str, value: &str) -> Self {
        Self(BTreeMap::from([(format!("{name}.member.1"), value.to_owned())]))
    }

    /// All but these scalars.
    pub(super) fn without(&self, names: &[&str]) -> Self {
        let kept = self.0.iter().filter(|(key, _)| !names.contains(&key.as_str()));
        Self(kept.map(|(key, value)| (key.clone(), value.clone())).collect())
    }

    /// All of them, flat.
    pub(super) fn flat(&self) -> &BTreeMap<String, String> {
        &self.0
    }

    /// A scalar.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// A scalar that the call can't do without.
    pub(super) fn required(&self, name: &str) -> Result<&str, Refusal> {
        self.text(name).ok_or_else(|| Refusal::validation(format!("{name} must be specified")))
    }

    /// A scalar of another type.
    pub(super) fn value<T: FromStr>(&self, name: &str) -> Result<Option<T>, Refusal> {
        let Some(text) = self.text(name) else { return Ok(None) };
        text.parse().map(Some).map_err(|_| Refusal::validation(format!("'{text}' is not a valid {name}")))
    }

    /// What is below `name.`.
    pub(super) fn below(&self, name: &str) -> Self {
        let below = self.0.iter().filter_map(|(key, value)| {
            Some((key.strip_prefix(name)?.strip_prefix('.')?.to_owned(), value.clone()))
        });
        Self(below.collect())
    }

    /// The members of a list, in the order of their numbers.
    pub(super) fn members(&self, name: &str) -> Vec<Self> {
        let mut members: BTreeMap<u32, Self> = BTreeMap::new();
        for (key, value) in &self.below(name).below("member").0 {
            let (number, rest) = key.split_once('.').unwrap_or((key, ""));
            if let Ok(number) = number.parse() {
                members.entry(number).or_default().0.insert(rest.to_owned(), value.clone());
            }
        }
        members.into_values().collect()
    }

    /// The members of a list of scalars.
    pub(super) fn texts(&self, name: &str) -> Vec<String> {
        self.members(name).into_iter().filter_map(|mut member| member.0.remove("")).collect()
    }

    /// Whether anything was said about `name`, be it an empty list.
    pub(super) fn mentions(&self, name: &str) -> bool {
        self.0.contains_key(name) || !self.below(name).0.is_empty()
    }

    /// Refuses everything else. Where AWS knows more than the lab does, this is stricter than AWS.
    pub(super) fn only(&self, names: &[&str]) -> Result<(), Refusal> {
        let top = |key: &str| key.split('.').next().unwrap_or_default().to_owned();
        match self.0.keys().map(|key| top(key)).find(|key| !names.contains(&key.as_str())) {
            None => Ok(()),
            Some(key) => {
                Err(Refusal::validation(format!("the lab does not know what to do with '{key}' here")))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_come_in_the_order_of_their_numbers() {
        let params = Params::parse(b"A.member.10=ten&A.member.2=two&A.member.1=one&AB.member.1=no");
        assert_eq!(params.texts("A"), ["one", "two", "ten"]);
    }

    #[test]
    fn structures_nest() {
        let params = Params::parse(b"A.member.1.F.G.member.1.Arn=x%3Ay&A.member.1.F.G.member.1.Weight=3");
        let group = &params.members("A")[0].below("F").members("G")[0];
        assert_eq!(group.text("Arn"), Some("x:y"));
        assert_eq!(group.value::<u32>("Weight").unwrap(), Some(3));
    }

    #[test]
    fn an_empty_list_is_mentioned() {
        assert!(Params::parse(b"Actions=").mentions("Actions"));
        assert!(!Params::parse(b"ActionsMore=1").mentions("Actions"));
    }
}
