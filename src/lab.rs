//! The lab: an embedded blue/green world on loopback, for `demo`, `drill` and tests.
//!
//! ```text
//!                    ┌──────────── zone a ─┐        ┌─ blue   (n targets, version, fault)
//!  users, prober ──▶ │  balancer (HTTP)    │ ─────▶ │
//!                    └──────────── zone b ─┘        └─ green  (n targets, version, fault)
//!                              ▲ in force later, zone after zone
//!  pipeline, daemon ──▶ control plane (ELBv2 Query API)         control (always good, not behind the balancer)
//! ```
//!
//! It imitates what `AWS.md` says of an Application Load Balancer: each request is routed by itself, weight 0 is
//! never, a change is in force some time after it was accepted, there is no compare-and-swap, calls are
//! throttled, and what AWS refuses is refused with AWS's codes. It has no private way into the daemon, nor the
//! daemon into it: both sides meet at sockets. What it doesn't do: TLS, logins, group stickiness (kept and shown,
//! not acted upon), more than one listener.

mod balancer;
mod elbv2;
mod groups;
mod routing;
mod serve;
mod service;
mod users;
mod wire;
mod world;

pub use elbv2::{Call, CallOutcome, ControlPlaneFault, CredentialFault};
pub use service::{Fault, Service};
pub use users::{UserCounts, UserOptions, Users};

use self::balancer::Zone;
use self::elbv2::ControlPlane;
use self::elbv2::actions::Action;
use self::elbv2::records::{LISTENER_ARN, LOAD_BALANCER_ARN, REGION, Records, Rule, group_arn, rule_arn};
use self::groups::{Group, Health};
use self::serve::{Port, serve};
use self::world::World;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;

/// What the lab is made of. The default is blue at 100 and green at 0, everything healthy and prompt.
#[derive(Clone, Debug)]
pub struct LabOptions {
    /// Targets of each service, at least 1.
    pub targets: usize,
    /// What blue's `x-version` says at first.
    pub blue_version: String,
    /// What green's `x-version` says at first.
    pub green_version: String,
    /// Addresses of the balancer: 127.0.0.1, 127.0.0.2 and so on, 1 ..= 200.
    pub zones: u8,
    /// What the rules say at first.
    pub forward: ForwardForm,
    /// Also a rule with this path pattern, with the same actions as the default rule.
    pub path_rule: Option<String>,
    /// Also an `authenticate-oidc` action before each forward.
    pub authenticate_oidc: bool,
    /// How long after it was accepted a change is in force.
    pub propagation: Duration,
    /// How much later each further zone follows.
    pub zone_skew: Duration,
    /// How often targets are checked; also how long a check may take.
    pub health_interval: Duration,
    /// A target that takes longer to answer makes the balancer say 504.
    pub idle_timeout: Duration,
    /// How long a deregistered target is shown as `draining`.
    pub deregistration_delay: Duration,
    /// Whether calls are throttled as `AWS.md` 4 says.
    pub throttling: bool,
    /// Where all chance comes from.
    pub seed: u64,
}

impl Default for LabOptions {
    fn default() -> Self {
        Self {
            targets: 3,
            blue_version: "blue-1".to_owned(),
            green_version: "green-2".to_owned(),
            zones: 2,
            forward: ForwardForm::Weighted,
            path_rule: None,
            authenticate_oidc: false,
            propagation: Duration::ZERO,
            zone_skew: Duration::ZERO,
            health_interval: Duration::from_millis(200),
            idle_timeout: Duration::from_mins(1),
            deregistration_delay: Duration::from_secs(5),
            throttling: true,
            seed: 1,
        }
    }
}

/// What a rule says at first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForwardForm {
    /// Both groups, blue 100 and green 0.
    Weighted,
    /// Blue alone; green is referred to by nothing, so that its targets are `unused`.
    Single,
}

/// Why the lab didn't start.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// A port or an address of loopback could not be had.
    #[error("the lab cannot listen on loopback: {0}")]
    Listen(#[from] io::Error),
    /// A target that is in use passed no health check in time.
    #[error("the lab's targets passed no health check within {} s", READY_WITHIN.as_secs())]
    Unhealthy,
    /// There must be at least one of each.
    #[error("the lab needs at least one target and between 1 and 200 zones")]
    Empty,
}

/// A running lab. Dropping it stops everything.
pub struct Lab {
    /// The name that `DescribeLoadBalancers` shows. It resolves to loopback where `*.localhost` does.
    pub load_balancer_dns_name: String,
    services: Vec<Service>,
    balancer: Vec<SocketAddr>,
    control_plane_addr: SocketAddr,
    control_plane: Arc<ControlPlane>,
    world: Arc<World>,
    options: LabOptions,
    /// Every task of the lab; aborted when this is dropped.
    tasks: JoinSet<()>,
}

impl Lab {
    /// Starts everything and waits until the targets in use are healthy.
    ///
    /// # Errors
    /// When loopback can't be listened on, or the targets don't become healthy within 5 s.
    pub async fn start(options: LabOptions) -> Result<Self, LabError> {
        if options.targets == 0 || !(1..=200).contains(&options.zones) {
            return Err(LabError::Empty);
        }
        let seed = options.seed;
        let services = vec![
            Service::bind(BLUE, &options.blue_version, options.targets, seed)?,
            Service::bind(GREEN, &options.green_version, options.targets, seed.wrapping_add(1))?,
            Service::bind("control", "control-1", 1, seed.wrapping_add(2))?,
        ];
        let mut tasks = JoinSet::new();
        services.iter().try_for_each(|service| service.spawn(&mut tasks))?;
        let groups: Vec<_> = services[..2]
            .iter()
            .map(|service| Group::new(&group_arn(service.name()), service.name(), &service.addresses()))
            .collect();

        let ports = zone_ports(options.zones)?;
        let zones: Vec<_> = (0..options.zones)
            .map(|n| Zone::new(options.idle_timeout, seed.wrapping_add(10 + u64::from(n))))
            .collect();
        for (zone, port) in zones.iter().zip(&ports) {
            let zone = zone.clone();
            tasks.spawn(serve(port.listen()?, move |request| zone.clone().answer(request)));
        }

        // No name leads to loopback addresses of our choice alone, so the first zone's stands for it.
        let dns_name = "127.0.0.1".to_owned();
        let records = records(&options, &dns_name, ports[0].addr().port());
        let world = World::new(records, groups, zones);
        world.set_propagation(options.propagation, options.zone_skew);
        tasks.spawn(groups::check_forever(world.groups.clone(), options.health_interval, world.kick.clone()));
        tasks.spawn(world.clone().propagate_forever());

        let api = Port::reserve(IpAddr::V4(Ipv4Addr::LOCALHOST), 0)?;
        let control_plane = ControlPlane::new(
            world.clone(),
            options.throttling,
            options.deregistration_delay,
            seed.wrapping_add(3),
        );
        let answering = control_plane.clone();
        tasks.spawn(serve(api.listen()?, move |request| answering.clone().answer(request)));

        let lab = Self {
            load_balancer_dns_name: dns_name,
            services,
            balancer: ports.iter().map(Port::addr).collect(),
            control_plane_addr: api.addr(),
            control_plane,
            world,
            options,
            tasks,
        };
        lab.wait_until_healthy().await?;
        Ok(lab)
    }

    /// The URL of the ELBv2 API, for the `endpoint_url` of the SDK.
    #[must_use]
    pub fn endpoint_url(&self) -> String {
        format!("http://{}", self.control_plane_addr)
    }

    /// The region that all ARNs are of.
    #[must_use]
    pub fn region(&self) -> &'static str {
        REGION
    }

    /// The ARN of the load balancer.
    #[must_use]
    pub fn load_balancer_arn(&self) -> &'static str {
        LOAD_BALANCER_ARN
    }

    /// The ARN of the listener.
    #[must_use]
    pub fn listener_arn(&self) -> &'static str {
        LISTENER_ARN
    }

    /// The ARN of the default rule. AWS lets nobody modify it by that name.
    #[must_use]
    pub fn default_rule_arn(&self) -> String {
        rule_arn(DEFAULT_RULE)
    }

    /// The ARN of the rule with the path pattern, if the lab was started with one.
    #[must_use]
    pub fn rule_arn(&self) -> Option<String> {
        self.options.path_rule.is_some().then(|| rule_arn(PATH_RULE))
    }

    /// The ARN of the target group of "blue" or "green" (of any other name: one that doesn't exist).
    #[must_use]
    pub fn target_group_arn(&self, name: &str) -> String {
        group_arn(name)
    }

    /// A URL through the balancer, by its first zone. `path` begins with a slash.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.balancer[0])
    }

    /// Where the balancer listens, one address a zone.
    #[must_use]
    pub fn balancer_addresses(&self) -> &[SocketAddr] {
        &self.balancer
    }

    /// "blue", "green" or "control".
    ///
    /// # Panics
    /// When there is no such service.
    #[must_use]
    pub fn service(&self, name: &str) -> &Service {
        let found = self.services.iter().find(|service| service.name() == name);
        found.expect("the lab has the services blue, green and control")
    }

    /// A URL of the control service: unrelated to the balancer and always good, unless told otherwise.
    #[must_use]
    pub fn control_url(&self) -> String {
        format!("http://{}/", self.service("control").addresses()[0])
    }

    /// Changes that come from now on wait so long until they are in force; each zone after the first
    /// `zone_skew` longer.
    pub fn set_propagation(&self, propagation: Duration, zone_skew: Duration) {
        self.world.set_propagation(propagation, zone_skew);
    }

    /// Makes an action of the API misbehave, such as `ModifyListener`; `None` mends it.
    pub fn set_control_plane_fault(&self, action: &str, fault: Option<ControlPlaneFault>) {
        self.control_plane.set_fault(action, fault);
    }

    /// Makes an access key no good; `None` mends it.
    pub fn set_credential_fault(&self, access_key: &str, fault: Option<CredentialFault>) {
        self.control_plane.set_credential_fault(access_key, fault);
    }

    /// Whether calls are throttled as `AWS.md` 4 says.
    pub fn set_throttling(&self, throttling: bool) {
        self.control_plane.set_throttling(throttling);
    }

    /// Shows an element inside every `ForwardConfig` that no SDK of today knows.
    pub fn set_unknown_element(&self, element: Option<(&str, &str)>) {
        let owned = element.map(|(name, text)| (name.to_owned(), text.to_owned()));
        self.world.annotate(|records| records.unknown_element = owned);
    }

    /// Puts a tag on a resource without a call: also one that `AddTags` refuses, such as `aws:…`.
    pub fn put_tag(&self, arn: &str, key: &str, value: &str) {
        let tag = (key.to_owned(), value.to_owned());
        self.world.annotate(|records| records.tags.entry(arn.to_owned()).or_default().extend([tag]));
    }

    /// The calls that arrived, the oldest first; at most the last 65,536.
    #[must_use]
    pub fn calls(&self) -> Vec<Call> {
        self.control_plane.calls()
    }

    /// Starts users that ask all zones in turn.
    #[must_use]
    pub fn users(&self, options: UserOptions) -> Users {
        Users::start(self.balancer.clone(), options)
    }

    /// Stops everything and waits for it.
    pub async fn stop(mut self) {
        self.tasks.shutdown().await;
    }

    async fn wait_until_healthy(&self) -> Result<(), LabError> {
        let ready = async {
            while !self.all_healthy() {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(READY_WITHIN, ready).await.map_err(|_| LabError::Unhealthy)
    }

    fn all_healthy(&self) -> bool {
        let mut used =
            self.world.groups.iter().filter(|group| group.in_use()).flat_map(|group| group.targets());
        used.all(|target| target.health() == Health::Healthy)
    }
}

/// The same port in every zone where that is free, as it is on a real balancer; otherwise the zone's own.
fn zone_ports(zones: u8) -> io::Result<Vec<Port>> {
    let ip = |zone| IpAddr::V4(Ipv4Addr::new(127, 0, 0, zone));
    let first = Port::reserve(ip(1), 0)?;
    let shared = first.addr().port();
    let mut ports = vec![first];
    for zone in 2..=zones {
        ports.push(Port::reserve(ip(zone), shared).or_else(|_| Port::reserve(ip(zone), 0))?);
    }
    Ok(ports)
}

fn records(options: &LabOptions, dns_name: &str, port: u16) -> Records {
    let groups = match options.forward {
        ForwardForm::Weighted => vec![(group_arn(BLUE), 100), (group_arn(GREEN), 0)],
        ForwardForm::Single => vec![(group_arn(BLUE), 1)],
    };
    let mut forward = Action::forward(groups);
    let mut actions = Vec::new();
    if options.authenticate_oidc {
        actions.push(Action::authenticate_oidc(1));
        forward.order = Some(2);
    }
    actions.push(forward);
    let by_path = options.path_rule.iter().map(|pattern| Rule {
        arn: rule_arn(PATH_RULE),
        priority: Some(10),
        paths: vec![pattern.clone()],
        actions: actions.clone(),
    });
    let default =
        Rule { arn: rule_arn(DEFAULT_RULE), priority: None, paths: Vec::new(), actions: actions.clone() };
    Records {
        dns_name: dns_name.to_owned(),
        port,
        rules: by_path.chain([default]).collect(),
        tags: std::collections::BTreeMap::new(),
        unknown_element: None,
    }
}

const BLUE: &str = "blue";
const GREEN: &str = "green";

const DEFAULT_RULE: u32 = 0;
const PATH_RULE: u32 = 1;

/// How long the first health checks may take on a busy machine.
const READY_WITHIN: Duration = Duration::from_secs(5);
