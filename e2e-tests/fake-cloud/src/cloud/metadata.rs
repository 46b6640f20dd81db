//! ECS metadata.

use jiff::SignedDuration;
use serde_json::json;

use crate::cloud::sts::iso;
use crate::cloud::{Call, Cloud, later};
use crate::fault::Action;
use crate::message::Answer;
use crate::policy::{Context, TrustedAs, Verdict, judge_trust};
use crate::state::Metadata;

const TOKEN_HEADER: &str = "x-aliyun-ecs-metadata-token";
const LIFE_HEADER: &str = "x-aliyun-ecs-metadata-token-ttl-seconds";
const CREDENTIALS: &str = "/latest/meta-data/ram/security-credentials/";

impl Cloud {
    pub(super) fn metadata(&mut self, action: Action, call: &Call<'_>) -> Answer {
        let Some(metadata) = self.state.metadata.clone() else { return not_found() };
        if action == Action::MetadataToken {
            return self.metadata_token(call);
        }
        if call.request.method != "GET" {
            return refusal(405, "MethodNotAllowed");
        }
        let admitted = match call.request.header(TOKEN_HEADER) {
            Some(token) => self.metadata_tokens.get(&token).is_some_and(|expires| *expires > call.now),
            None => !metadata.hardened,
        };
        if !admitted {
            return refusal(403, "Forbidden");
        }
        if action == Action::MetadataCredentials {
            return self.metadata_credentials(&metadata, call);
        }
        let text = match call.request.path.as_str() {
            CREDENTIALS => match self.attached_role(&metadata) {
                Some(role) => role,
                None => return not_found(),
            },
            "/latest/meta-data/region-id" => metadata.region,
            "/latest/meta-data/owner-account-id" => metadata.account,
            "/latest/meta-data/zone-id" => format!("{}-a", metadata.region),
            "/latest/meta-data/instance-id" => "i-example".into(),
            _ => return not_found(),
        };
        Answer::new(200, "text/plain", text)
    }

    fn metadata_token(&mut self, call: &Call<'_>) -> Answer {
        if call.request.method != "PUT" {
            return refusal(405, "MethodNotAllowed");
        }
        let life = call.request.header(LIFE_HEADER).and_then(|value| value.parse().ok());
        let Some(seconds) = life.filter(|seconds| (1..=21600).contains(seconds)) else {
            return refusal(400, "BadRequest");
        };
        let token = self.generator.secret("metadata token");
        let expires = call.expiry(later(call.now, SignedDuration::from_secs(seconds)));
        self.metadata_tokens.insert(token.clone(), expires);
        Answer::new(200, "text/plain", token)
    }

    fn metadata_credentials(&mut self, metadata: &Metadata, call: &Call<'_>) -> Answer {
        let asked = call.request.path.strip_prefix(CREDENTIALS).unwrap_or_default();
        let Some(role) = self.attached_role(metadata).filter(|role| role == asked) else {
            return not_found();
        };
        let rotate = SignedDuration::from_secs(metadata.rotate_before_seconds);
        let current = self
            .metadata_session
            .as_ref()
            .filter(|_| call.life.is_none())
            .and_then(|id| self.sessions.get(id).map(|session| (id.clone(), session.clone())))
            .filter(|(_, session)| session.role == role && session.account == metadata.account)
            .filter(|(_, session)| session.expires > later(call.now, rotate));
        let life = SignedDuration::from_secs(metadata.session_seconds);
        let (id, session) = current.unwrap_or_else(|| {
            let expires = call.expiry(later(call.now, life));
            self.new_session(expires, metadata.account.clone(), role, "i-example".into(), None)
        });
        self.metadata_session = Some(id.clone());
        let body = json!({
            "AccessKeyId": id,
            "AccessKeySecret": session.secret,
            "SecurityToken": session.token,
            "Expiration": iso(session.expires),
            "LastUpdated": iso(later(session.expires, -life)),
            "Code": "Success",
        });
        Answer::json(200, &body)
    }

    /// The role, if it is there and lets ECS become it.
    fn attached_role(&self, metadata: &Metadata) -> Option<String> {
        let name = metadata.role.as_ref()?;
        let role = self.state.accounts.get(&metadata.account)?.roles.get(name)?;
        let trusted = judge_trust(&role.trust, &TrustedAs::Service("ecs.aliyuncs.com"), &Context::new());
        (trusted == Verdict::Allowed).then(|| name.clone())
    }
}

fn not_found() -> Answer {
    refusal(404, "NotFound")
}

fn refusal(status: u16, code: &str) -> Answer {
    let page = format!("<html><head><title>{status} {code}</title></head></html>");
    Answer { code: code.into(), ..Answer::new(status, "text/html", page) }
}
