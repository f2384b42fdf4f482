//! The control plane: the ELBv2 Query API (version 2015-12-01), so that the real SDK client works against it,
//! signed and all. Form-encoded in, XML out. Calls of ECS and `CodeDeploy` come here too, in JSON, and find nobody.

pub(in crate::lab) mod actions;
mod gate;
mod owners;
mod params;
mod reads;
pub(in crate::lab) mod records;
mod refusal;
mod writes;
mod xml;

pub use gate::{Call, CallOutcome, ControlPlaneFault, CredentialFault};

use self::gate::{Admission, Ending, Gate, access_key};
use self::params::Params;
use self::refusal::Refusal;
use self::xml::Xml;
use super::serve::{Answer, HangUp};
use super::world::World;
use crate::clock;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The API in front of a [`World`].
pub(super) struct ControlPlane {
    world: Arc<World>,
    deregistration_delay: Duration,
    gate: Mutex<Gate>,
    ids: Mutex<ChaCha8Rng>,
}

impl ControlPlane {
    pub(super) fn new(
        world: Arc<World>,
        throttling: bool,
        deregistration_delay: Duration,
        seed: u64,
    ) -> Arc<Self> {
        Arc::new(Self {
            world,
            deregistration_delay,
            gate: Mutex::new(Gate::new(throttling, clock::now())),
            ids: Mutex::new(ChaCha8Rng::seed_from_u64(seed)),
        })
    }

    pub(super) fn set_fault(&self, action: &str, fault: Option<ControlPlaneFault>) {
        match fault {
            Some(fault) => self.gate().faults.insert(action.to_owned(), fault),
            None => self.gate().faults.remove(action),
        };
    }

    pub(super) fn set_credential_fault(&self, access_key: &str, fault: Option<CredentialFault>) {
        match fault {
            Some(fault) => self.gate().credentials.insert(access_key.to_owned(), fault),
            None => self.gate().credentials.remove(access_key),
        };
    }

    pub(super) fn set_throttling(&self, throttling: bool) {
        self.gate().set_throttling(throttling);
    }

    pub(super) fn calls(&self) -> Vec<Call> {
        self.gate().journal.iter().cloned().collect()
    }

    /// Answers one call.
    pub(super) async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Result<Answer, HangUp> {
        let (head, body) = request.into_parts();
        let Ok(body) = Limited::new(body, BODY_MAX).collect().await else { return Err(HangUp) };
        let json = owners::action(&head.headers);
        let params = match json {
            Some(action) => Params::parse(format!("Action={action}").as_bytes()),
            None => Params::parse(&body.to_bytes()),
        };
        let told = if json.is_some() { json_response } else { response };
        let id = self.request_id();
        let (result, ending, access_key) = self.decide(&head.headers, &params, &id).await;
        let applied = result.is_ok();
        let outcome = match (&result, ending) {
            (Ok(_), Ending::Answer) => CallOutcome::Accepted,
            (Err(refusal), Ending::Answer) => CallOutcome::Refused(refusal.code.to_owned()),
            (_, Ending::Hang | Ending::InternalError) => CallOutcome::Silent { applied },
        };
        self.gate().note(Call {
            action: params.text("Action").unwrap_or_default().to_owned(),
            params: params.flat().clone(),
            at: clock::now(),
            access_key,
            request_id: id.clone(),
            outcome,
        });
        match (ending, result) {
            (Ending::Hang, _) => std::future::pending().await,
            (Ending::InternalError, _) => Ok(refused(&Refusal::internal(), &id, json.is_some())),
            (Ending::Answer, Err(refusal)) => Ok(refused(&refusal, &id, json.is_some())),
            (Ending::Answer, Ok(body)) => Ok(told(StatusCode::OK, body, &id)),
        }
    }

    /// Lets the call in or not, and carries it out.
    async fn decide(
        &self,
        headers: &HeaderMap,
        params: &Params,
        id: &str,
    ) -> (Result<String, Refusal>, Ending, Option<String>) {
        let authorization = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let scopes: &[&str] =
            if owners::action(headers).is_some() { &owners::SCOPES } else { &["elasticloadbalancing"] };
        let key = match access_key(authorization, scopes) {
            Ok(key) => key.to_owned(),
            Err(refusal) => return (Err(refusal), Ending::Answer, None),
        };
        let action = params.text("Action").unwrap_or_default();
        let admission = self.gate().admit(action, &key, clock::now());
        match admission {
            Admission::Refuse(refusal) => (Err(refusal), Ending::Answer, Some(key)),
            Admission::Hang => (Err(Refusal::internal()), Ending::Hang, Some(key)),
            Admission::Pass(delay, ending) => {
                if !delay.is_zero() {
                    tokio::time::sleep(delay).await;
                }
                let done = match owners::action(headers) {
                    Some(action) => owners::answer(action),
                    None => self.carry_out(action, params, id),
                };
                (done, ending, Some(key))
            }
        }
    }

    fn carry_out(&self, action: &str, all: &Params, id: &str) -> Result<String, Refusal> {
        if all.text("Version") != Some(API_VERSION) {
            return Err(Refusal::new("InvalidAction", format!("No {action} in this version of the API")));
        }
        let params = &all.without(&["Action", "Version"]);
        let (world, groups) = (&*self.world, self.world.groups.as_slice());
        let mut xml = Xml::default();
        match action {
            "DescribeLoadBalancers" => world.read(|r| reads::load_balancers(params, r, &mut xml))?,
            "DescribeListeners" => world.read(|r| reads::listeners(params, r, &mut xml))?,
            "DescribeRules" => world.read(|r| reads::rules(params, r, &mut xml))?,
            "DescribeTargetGroups" => world.read(|r| reads::target_groups(params, r, groups, &mut xml))?,
            "DescribeTargetHealth" => reads::target_health(params, groups, &mut xml)?,
            "DescribeTags" => world.read(|r| reads::tags(params, r, groups, &mut xml))?,
            "ModifyListener" => {
                writes::modify_listener(params, world)?;
                world.read(|r| {
                    reads::listeners(&Params::one("ListenerArns", records::LISTENER_ARN), r, &mut xml)
                })?;
            }
            "ModifyRule" => {
                let arn = writes::modify_rule(params, world)?;
                world.read(|r| reads::rules(&Params::one("RuleArns", &arn), r, &mut xml))?;
            }
            "AddTags" => writes::add_tags(params, world)?,
            "RemoveTags" => writes::remove_tags(params, world)?,
            "RegisterTargets" => writes::register_targets(params, world)?,
            "DeregisterTargets" => writes::deregister_targets(params, world, self.deregistration_delay)?,
            _ => {
                let message = format!("Could not find operation {action} for version {API_VERSION}");
                return Err(Refusal::new("InvalidAction", message));
            }
        }
        Ok(envelope(action, &xml.finish(), id))
    }

    /// In the form of AWS's: a UUID.
    fn request_id(&self) -> String {
        let mut ids = self.ids.lock().unwrap_or_else(PoisonError::into_inner);
        let (high, low) = (ids.next_u64(), ids.next_u64());
        let (a, b, c) = (high >> 32, (high >> 16) & 0xffff, high & 0xfff);
        format!("{a:08x}-{b:04x}-4{c:03x}-{:04x}-{:012x}", 0x8000 | (low >> 50), low & 0xffff_ffff_ffff)
    }

    fn gate(&self) -> MutexGuard<'_, Gate> {
        self.gate.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn envelope(action: &str, result: &str, id: &str) -> String {
    let mut xml = Xml::default();
    xml.root(&format!("{action}Response"), |xml| {
        xml.node(&format!("{action}Result"), |xml| xml.raw(result));
        xml.node("ResponseMetadata", |xml| xml.leaf("RequestId", id));
    });
    xml.finish()
}

fn refused(refusal: &Refusal, id: &str, json: bool) -> Answer {
    if json {
        json_response(refusal.status, owners::refused(refusal), id)
    } else {
        response(refusal.status, refusal.body(id), id)
    }
}

fn json_response(status: StatusCode, body: String, id: &str) -> Answer {
    let mut response = response(status, body, id);
    let kind = HeaderValue::from_static("application/x-amz-json-1.1");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

fn response(status: StatusCode, body: String, id: &str) -> Answer {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/xml"));
    if let Ok(id) = HeaderValue::from_str(id) {
        headers.insert("x-amzn-requestid", id);
    }
    response
}

const API_VERSION: &str = "2015-12-01";

/// The largest call that is read, in bytes.
const BODY_MAX: usize = 1 << 20;
