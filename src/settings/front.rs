//! `via`: whether probes go to the balancer itself, or to whatever the URL's name leads to.

use super::reader::{Fault, Leaf, Noted, Section};
use super::{Endpoint, Lever, lever};
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

/// Where production probes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Via {
    /// To every address of the balancer's own name, with the URL's host and SNI.
    Balancer,
    /// To the URL's name, perhaps through a CDN: that measures what users get, and proves nothing of the balancer.
    Public,
    /// To the URL's name, which leads to the function: an alias has no balancer in front of it that could be asked past a CDN.
    Function,
}

/// The balancer's own DNS name, which AWS tells later. Copies share it.
#[derive(Clone, Debug, Default)]
pub struct Front(Arc<OnceLock<String>>);

impl PartialEq for Front {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name()
    }
}

impl Front {
    /// AWS has told it. A balancer's name never changes: the first word stays.
    pub fn know(&self, name: String) {
        // A second telling is the same name.
        drop(self.0.set(name));
    }

    /// The name, once it is known.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.0.get().map(String::as_str)
    }

    /// The same number for copies of one, another for others.
    #[must_use]
    pub fn id(&self) -> usize {
        Arc::as_ptr(&self.0).addr()
    }
}

/// `via`; the balancer where there is one, the function where an alias is, and nothing to choose without.
pub(super) fn via(section: &Section<'_>, levers: &Result<Vec<Lever>, Noted>) -> Result<Via, Noted> {
    let choices = [("balancer", Via::Balancer), ("public", Via::Public)];
    let via = section.maybe("via", |leaf: &Leaf<'_>| leaf.choice(&choices))?;
    let has_lever = levers.as_ref().is_ok_and(|levers| !levers.is_empty());
    let has_alias = levers.as_ref().is_ok_and(|levers| lever::is_alias(levers));
    if via == Some(Via::Balancer) && has_alias {
        let rule = "the requests are shared out by lambda_alias, and no balancer before it is known";
        return Err(section.refuse("via", Fault::new(rule, "leave via out: the URL's own name is asked")));
    }
    if via == Some(Via::Balancer) && levers.is_ok() && !has_lever {
        let rule = "there is neither listener nor rule, so no balancer is known";
        return Err(section.refuse("via", Fault::new(rule, "name one, or leave via out")));
    }
    Ok(via.unwrap_or(match (has_alias, has_lever) {
        (true, _) => Via::Function,
        (false, true) => Via::Balancer,
        (false, false) => Via::Public,
    }))
}

/// Whether the file itself says where connections go: an address, or this machine.
pub(super) fn is_fixed(endpoint: &Endpoint, connects_elsewhere: bool) -> bool {
    let host = endpoint.host.trim_end_matches('.');
    connects_elsewhere
        || host.parse::<IpAddr>().is_ok()
        || host == "localhost"
        || host.ends_with(".localhost")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_share_the_name_and_the_first_word_stays() {
        let front = Front::default();
        let copy = front.clone();
        assert_eq!((front.name(), front.id()), (None, copy.id()));
        copy.know("shop-1.eu-west-1.elb.amazonaws.com".into());
        front.know("another".into());
        assert_eq!(front.name(), Some("shop-1.eu-west-1.elb.amazonaws.com"));
        assert_ne!(Front::default().id(), front.id());
        assert_ne!(Front::default(), front);
        assert_eq!(copy, front);
    }

    #[test]
    fn an_address_and_this_machine_are_fixed_and_a_name_is_not() {
        let fixed = |url: &str, connects| is_fixed(&super::super::address::endpoint(url).unwrap(), connects);
        for url in
            ["http://127.0.0.1:1/x", "https://[::1]/", "http://localhost:8080/", "http://shop.alb.localhost/"]
        {
            assert!(fixed(url, false), "{url}");
        }
        assert!(!fixed("https://shop.example.com/", false));
        assert!(!fixed("https://notlocalhost/", false));
        assert!(fixed("https://shop.example.com/", true));
    }
}
