//! ACR, both editions.

use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use crate::cloud::authentication::Caller;
use crate::cloud::registry::{Credential, Registry, USER_NAME};
use crate::cloud::{Body, Call, Cloud, later};
use crate::error::ApiError;
use crate::state::{Endpoint, Instance, Secret};

impl Cloud {
    /// Enterprise Edition, `GetAuthorizationToken`.
    pub(super) fn get_authorization_token(&mut self, call: &Call<'_>) -> Result<Body, ApiError> {
        let caller = self.authenticate(call)?;
        let id = call.required("InstanceId")?;
        // The newest page lists no resource for it: only a grant on all (`*`) counts.
        self.authorize(&caller, "cr:GetAuthorizationToken", "*")?;
        let instance = self.instance(&caller, &id, call.region)?;
        if instance.status != "RUNNING" {
            return Err(unsuccessful(400, "INSTANCE_STATUS_NOT_SUPPORT", "instance is not running."));
        }
        let expires = call.expiry(self.regular_expiry(&caller, call));
        let password =
            self.hand_out("enterprise", Registry::Instance { region: call.region.into(), id }, expires);
        let mut body = succeeded();
        body.insert("TempUsername".into(), json!(USER_NAME));
        body.insert("AuthorizationToken".into(), json!(call.shown(password)));
        body.insert("ExpireTime".into(), json!(expires.as_millisecond()));
        Ok(body)
    }

    /// Enterprise Edition, `ListInstanceEndpoint`.
    pub(super) fn list_instance_endpoint(&mut self, call: &Call<'_>) -> Result<Body, ApiError> {
        let caller = self.authenticate(call)?;
        let id = call.required("InstanceId")?;
        let resource = format!("acs:cr:{}:{}:instance/{id}", call.region, caller.account());
        self.authorize(&caller, "cr:ListInstanceEndpoint", &resource)?;
        let instance = self.instance(&caller, &id, call.region)?;
        let summary =
            call.request.parameter("Summary").is_some_and(|value| value.eq_ignore_ascii_case("true"));
        // Charts are a module of their own, which these instances do not have.
        let of_charts = call.request.parameter("ModuleName").as_deref() == Some("Chart");
        let endpoints: Vec<_> = instance
            .endpoints()
            .into_iter()
            .filter(|_| !of_charts)
            .map(|(kind, endpoint)| described(instance, kind, endpoint, summary))
            .collect();
        let mut body = succeeded();
        body.insert("Endpoints".into(), json!(endpoints));
        Ok(body)
    }

    /// Personal Edition, `GET /tokens`.
    pub(super) fn get_personal_token(&mut self, call: &Call<'_>) -> Result<Body, ApiError> {
        let caller = self.authenticate(call)?;
        self.authorize(&caller, "cr:GetAuthorizationToken", "*")?;
        let opened = self
            .state
            .accounts
            .get(caller.account())
            .is_some_and(|account| account.personal.contains(call.region));
        if !opened {
            return Err(ApiError::new(404, "USER_NOT_EXIST", "user is not exist."));
        }
        let expires = call.expiry(self.regular_expiry(&caller, call));
        let password = self.hand_out("personal", Registry::Personal { region: call.region.into() }, expires);
        let data = json!({
            "authorizationToken": call.shown(password),
            "tempUserName": USER_NAME,
            "expireDate": expires.as_millisecond(),
        });
        Ok(Body::from_iter([("data".to_owned(), data)]))
    }

    /// A new password, which the registry lets in from now on.
    fn hand_out(&mut self, purpose: &str, registry: Registry, expires: Timestamp) -> String {
        let password = self.generator.secret(purpose);
        self.credentials.insert(Secret(password.clone()), Credential { registry, expires });
        password
    }

    /// A credential that a session asks for expires with the session.
    fn regular_expiry(&self, caller: &Caller, call: &Call<'_>) -> Timestamp {
        match caller {
            Caller::Session(session) => session.expires,
            Caller::Root { .. } | Caller::User { .. } => {
                later(call.now, SignedDuration::from_secs(self.state.credential_seconds))
            }
        }
    }

    /// An instance of the caller's account, in the region that was asked.
    fn instance(&self, caller: &Caller, id: &str, region: &str) -> Result<&Instance, ApiError> {
        self.state
            .accounts
            .get(caller.account())
            .and_then(|account| account.instances.get(id))
            .filter(|instance| instance.region == region)
            .ok_or_else(|| unsuccessful(404, "INSTANCE_NOT_EXIST", "instance is not exist."))
    }
}

fn succeeded() -> Body {
    Body::from_iter([("Code".to_owned(), json!("success")), ("IsSuccess".to_owned(), json!(true))])
}

fn unsuccessful(status: u16, code: &str, message: &str) -> ApiError {
    ApiError::new(status, code, message).with("IsSuccess", json!(false))
}

fn described(instance: &Instance, kind: &str, endpoint: &Endpoint, summary: bool) -> serde_json::Value {
    let mut domains = vec![json!({"Domain": instance.system_domain(kind), "Type": "SYSTEM"})];
    domains.extend(endpoint.custom_domains.iter().map(|domain| json!({"Domain": domain, "Type": "USER"})));
    let mut described = json!({
        "EndpointType": kind,
        "Enable": endpoint.enabled,
        "Status": endpoint.status,
        "Domains": domains,
        "LinkedVpcs": if kind == "vpc" { json!([{"VpcId": "vpc-example"}]) } else { json!([]) },
    });
    if !summary && let Some(members) = described.as_object_mut() {
        members.insert("AclEnable".into(), json!(false));
        members.insert("AclEntries".into(), json!([]));
    }
    described
}
