//! The services behind the balancer: small HTTP servers whose faults are set while they run.

use super::serve::{Answer, HangUp, Port, serve};
use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// How a service misbehaves towards its users.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Fault {
    /// It doesn't.
    #[default]
    None,
    /// Every answer is a 500, with the version header.
    Outage,
    /// This share of the answers is a 500, spread evenly at random, in 0.0 ..= 1.0.
    Errors {
        /// The share.
        share: f64,
    },
    /// Every answer comes so much later.
    Latency {
        /// How much later.
        extra: Duration,
    },
    /// Connections are accepted and requests are read, but nothing is ever answered.
    Hang,
    /// Nothing listens: open connections are closed, new ones are refused.
    Refuse,
    /// The connection is closed without an answer, so that the balancer has to say 502 by itself.
    Dark502,
}

/// A service with one listener a target. Cheap to clone; all clones are the same service.
#[derive(Clone, Debug)]
pub struct Service {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    name: String,
    targets: Vec<Target>,
    version: Mutex<HeaderValue>,
    fault: watch::Sender<Fault>,
    healthy: AtomicBool,
    chance: Mutex<ChaCha8Rng>,
}

#[derive(Debug)]
struct Target {
    port: Port,
    /// Requests that arrived here, health checks apart.
    requests: AtomicU64,
}

impl Service {
    /// Takes the ports. Nothing listens until [`Service::spawn`].
    pub(super) fn bind(name: &str, version: &str, targets: usize, seed: u64) -> std::io::Result<Self> {
        let targets = (0..targets)
            .map(|_| Ok(Target { port: Port::reserve(LOOPBACK, 0)?, requests: AtomicU64::new(0) }))
            .collect::<std::io::Result<Vec<_>>>()?;
        let shared = Shared {
            name: name.to_owned(),
            targets,
            version: Mutex::new(header(version)),
            fault: watch::Sender::new(Fault::None),
            healthy: AtomicBool::new(true),
            chance: Mutex::new(ChaCha8Rng::seed_from_u64(seed)),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Listens on every target before it returns, so that the first request is not refused.
    pub(super) fn spawn(&self, tasks: &mut JoinSet<()>) -> std::io::Result<()> {
        for index in 0..self.shared.targets.len() {
            let first = self.shared.targets[index].port.listen()?;
            tasks.spawn(run_target(self.clone(), index, first));
        }
        Ok(())
    }

    /// The name that it was given ("blue", "green", "control").
    #[must_use]
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// Where its targets listen.
    #[must_use]
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.shared.targets.iter().map(|target| target.port.addr()).collect()
    }

    /// Requests that each target got so far, in the order of [`Service::addresses`]; health checks don't count.
    #[must_use]
    pub fn requests(&self) -> Vec<u64> {
        self.shared.targets.iter().map(|target| target.requests.load(Ordering::Relaxed)).collect()
    }

    /// From the next request on, it misbehaves like this. The health path is not touched by
    /// it ([`Fault::Refuse`] apart), as many real readiness checks see nothing.
    pub fn set_fault(&self, fault: Fault) {
        self.shared.fault.send_replace(fault);
    }

    /// What its `x-version` header says from now on. A text that no header can hold becomes `invalid`.
    pub fn set_version(&self, version: &str) {
        *self.shared.version.lock().unwrap_or_else(PoisonError::into_inner) = header(version);
    }

    /// What its health path says from now on: 200 or 503.
    pub fn set_healthy(&self, healthy: bool) {
        self.shared.healthy.store(healthy, Ordering::Relaxed);
    }

    async fn answer(self, index: usize, request: Request<Incoming>) -> Result<Answer, HangUp> {
        if request.uri().path() == HEALTH_PATH {
            let healthy = self.shared.healthy.load(Ordering::Relaxed);
            return Ok(self.response(if healthy { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }));
        }
        self.shared.targets[index].requests.fetch_add(1, Ordering::Relaxed);
        let fault = *self.shared.fault.borrow();
        match fault {
            Fault::Outage => Ok(self.response(StatusCode::INTERNAL_SERVER_ERROR)),
            Fault::Errors { share } if self.draw() < share => {
                Ok(self.response(StatusCode::INTERNAL_SERVER_ERROR))
            }
            Fault::None | Fault::Errors { .. } => Ok(self.response(StatusCode::OK)),
            Fault::Latency { extra } => {
                tokio::time::sleep(extra).await;
                Ok(self.response(StatusCode::OK))
            }
            Fault::Hang => std::future::pending().await,
            // A request that was read before the listener closed meets the same end as its connection.
            Fault::Refuse | Fault::Dark502 => Err(HangUp),
        }
    }

    fn response(&self, status: StatusCode) -> Answer {
        let body: &'static [u8] = if status.is_success() { b"ok\n" } else { b"failed\n" };
        let mut response = Response::new(Full::new(Bytes::from_static(body)));
        *response.status_mut() = status;
        let version = self.shared.version.lock().unwrap_or_else(PoisonError::into_inner).clone();
        response.headers_mut().insert("x-version", version);
        response
    }

    /// Evenly random in 0.0 .. 1.0.
    fn draw(&self) -> f64 {
        let mut chance = self.shared.chance.lock().unwrap_or_else(PoisonError::into_inner);
        f64::from(chance.next_u32()) / (f64::from(u32::MAX) + 1.0)
    }
}

/// Listens while the fault allows it, and closes everything while it doesn't.
async fn run_target(service: Service, index: usize, first: tokio::net::TcpListener) {
    let mut fault = service.shared.fault.subscribe();
    let mut listener = Some(first);
    loop {
        let port = &service.shared.targets[index].port;
        let Some(listening) = listener.take().or_else(|| port.listen().ok()) else {
            tokio::time::sleep(Duration::from_millis(5)).await;
            continue;
        };
        let handler = service.clone();
        tokio::select! {
            () = serve(listening, move |request| handler.clone().answer(index, request)) => {}
            _ = fault.wait_for(|fault| *fault == Fault::Refuse) => {}
        }
        // `service` holds the sender, so the channel can't close under us.
        let _ = fault.wait_for(|fault| *fault != Fault::Refuse).await;
    }
}

fn header(version: &str) -> HeaderValue {
    HeaderValue::from_str(version).unwrap_or(HeaderValue::from_static("invalid"))
}

/// The path that the balancer's health checks ask.
pub(super) const HEALTH_PATH: &str = "/healthz";

const LOOPBACK: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
