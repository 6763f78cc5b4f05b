//! One connection: frames, the login, faults, and the way to the APIs.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::{
    AlterClientQuotasRequest, AlterUserScramCredentialsRequest, ApiKey, ApiVersionsRequest, CreateAclsRequest,
    DeleteAclsRequest, DescribeAclsRequest, DescribeClientQuotasRequest, DescribeClusterRequest,
    DescribeConfigsRequest, DescribeUserScramCredentialsRequest, ResponseHeader, SaslAuthenticateRequest,
    SaslAuthenticateResponse, SaslHandshakeRequest, SaslHandshakeResponse,
};
use kafka_protocol::protocol::{Encodable as _, HeaderVersion, Request, StrBytes, decode_request_header_from_buffer};
use kastellan::names::{BrokerId, Mechanism, UserName};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::apis::{Api, Call};
use super::faults::{self, FaultKind};
use super::sasl::{Challenge, Login, SaslMechanism, read_client_first};
use super::{Door, Shared};

const UNSUPPORTED_SASL_MECHANISM: i16 = 33;
const ILLEGAL_SASL_STATE: i16 = 34;
const SASL_AUTHENTICATION_FAILED: i16 = 58;

/// What comes of a request.
enum Reply {
    /// A frame's body, header included.
    Answer(BytesMut),
    /// The connection is closed, after the answer if there is one.
    Hangup(Option<BytesMut>),
    /// Bytes as they are, and then the end.
    Raw(Vec<u8>),
    /// Nothing, ever.
    Silence,
}

struct Session {
    shared: Arc<Shared>,
    broker: BrokerId,
    door: Door,
    login: Login,
}

/// Counts a request that is to be executed later, until it is, or is lost.
struct Late(Arc<Shared>);

impl Late {
    fn begin(shared: &Arc<Shared>) -> Self {
        shared.late.fetch_add(1, Ordering::Relaxed);
        Self(shared.clone())
    }
}

impl Drop for Late {
    fn drop(&mut self) {
        self.0.late.fetch_sub(1, Ordering::Relaxed);
    }
}

/// One request, taken apart.
struct Incoming {
    api: i16,
    version: i16,
    correlation_id: i32,
    body: Bytes,
}

/// Serves one connection until either side closes it.
pub async fn serve(
    mut stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    shared: Arc<Shared>,
    broker: BrokerId,
    door: Door,
) {
    let mut session = Session { shared: shared.clone(), broker, door, login: Login::Nobody };
    loop {
        let frame = tokio::select! {
            frame = read_frame(&mut stream) => frame,
            () = shared.hang_up.notified() => None,
        };
        let Some(frame) = frame else { return };
        let Some(request) = take_apart(frame) else { return };
        let (frame, is_last) = match session.answer(request).await {
            Reply::Answer(body) => (Some(body), false),
            Reply::Hangup(body) => (body, true),
            Reply::Raw(bytes) => {
                let _ = stream.write_all(&bytes).await;
                return;
            }
            Reply::Silence => {
                // The next request waits behind this one, as on a real broker, until the client gives up.
                let _ = stream.read_to_end(&mut Vec::new()).await;
                return;
            }
        };
        if let Some(body) = frame {
            let length = u32::try_from(body.len()).expect("a short answer").to_be_bytes();
            if stream.write_all(&[&length, &body[..]].concat()).await.is_err() {
                return;
            }
        }
        if is_last {
            // What the client has sent already is read before the end, or its system would throw the answer away.
            let _ = stream.shutdown().await;
            let _ = tokio::time::timeout(Duration::from_secs(1), stream.read_to_end(&mut Vec::new())).await;
            return;
        }
    }
}

async fn read_frame(stream: &mut (impl AsyncRead + Unpin)) -> Option<Bytes> {
    let length = stream.read_u32().await.ok()?;
    if length > 100 << 20 {
        return None; // As a broker does with a TLS hello.
    }
    let mut frame = vec![0; usize::try_from(length).ok()?];
    stream.read_exact(&mut frame).await.ok()?;
    Some(Bytes::from(frame))
}

fn take_apart(mut frame: Bytes) -> Option<Incoming> {
    if frame.len() < 8 {
        return None;
    }
    let header = decode_request_header_from_buffer(&mut frame).ok()?;
    Some(Incoming {
        api: header.request_api_key,
        version: header.request_api_version,
        correlation_id: header.correlation_id,
        body: frame,
    })
}

fn encode<R: Request>(correlation_id: i32, version: i16, response: &R::Response) -> BytesMut {
    let mut body = BytesMut::new();
    let header = ResponseHeader::default().with_correlation_id(correlation_id);
    header.encode(&mut body, R::Response::header_version(version)).expect("a valid header");
    response.encode(&mut body, version).expect("a valid answer");
    body
}

impl Session {
    async fn answer(&mut self, request: Incoming) -> Reply {
        let fault = {
            let mut world = self.shared.world();
            *world.requests.entry((self.broker, request.api)).or_default() += 1;
            faults::next(&mut world.faults, request.api, self.broker)
        };
        match fault {
            None => self.dispatch(&request, &Call::default()),
            Some(FaultKind::Delay(time)) => {
                let _late = Late::begin(&self.shared);
                tokio::time::sleep(time).await;
                self.dispatch(&request, &Call::default())
            }
            Some(FaultKind::LateAnswer(time)) => {
                let reply = self.dispatch(&request, &Call::default());
                tokio::time::sleep(time).await;
                reply
            }
            Some(FaultKind::LoseAnswer) => {
                self.dispatch(&request, &Call::default());
                Reply::Silence
            }
            Some(FaultKind::CloseAfter) => {
                self.dispatch(&request, &Call::default());
                Reply::Hangup(None)
            }
            Some(FaultKind::NeverAnswer) => Reply::Silence,
            Some(FaultKind::Close) => Reply::Hangup(None),
            Some(FaultKind::ExecuteAgain(time)) => self.execute_again(&request, time),
            Some(FaultKind::Refuse(code)) => self.dispatch(&request, &Call { refuse: Some(code), throttle_ms: 0 }),
            Some(FaultKind::Throttle(throttle_ms)) => self.dispatch(&request, &Call { refuse: None, throttle_ms }),
            Some(FaultKind::Garbage(bytes)) => {
                let mut body = BytesMut::from(&request.correlation_id.to_be_bytes()[..]);
                body.extend_from_slice(&bytes);
                Reply::Answer(body)
            }
            Some(FaultKind::RawBytes(bytes)) => Reply::Raw(bytes),
        }
    }

    /// Executes now, and once more later, as a broker may that forwards twice.
    fn execute_again(&mut self, request: &Incoming, time: Duration) -> Reply {
        let login = match &self.login {
            Login::Authenticated(user) => Login::Authenticated(user.clone()),
            Login::Nobody | Login::Shaken(_) | Login::Challenged(_) => Login::Nobody,
        };
        let mut copy = Session { shared: self.shared.clone(), broker: self.broker, door: self.door, login };
        let again = Incoming { body: request.body.clone(), ..*request };
        let late = Late::begin(&self.shared);
        tokio::spawn(async move {
            tokio::time::sleep(time).await;
            let _late = late;
            copy.dispatch(&again, &Call::default());
        });
        self.dispatch(request, &Call::default())
    }

    fn dispatch(&mut self, request: &Incoming, call: &Call) -> Reply {
        let Ok(key) = ApiKey::try_from(request.api) else { return Reply::Hangup(None) };
        match (key, &self.login) {
            (ApiKey::ApiVersions, _) => self.api_versions(request, call),
            (ApiKey::SaslHandshake, _) => self.sasl_handshake(request),
            (ApiKey::SaslAuthenticate, _) => self.sasl_authenticate(request),
            (_, Login::Authenticated(user)) => {
                let user = user.clone();
                self.administrate(key, request, call, &user)
            }
            // A broker closes a connection that skips its login.
            (_, Login::Nobody | Login::Shaken(_) | Login::Challenged(_)) => Reply::Hangup(None),
        }
    }

    fn administrate(&mut self, key: ApiKey, request: &Incoming, call: &Call, user: &UserName) -> Reply {
        let api = Api { shared: &self.shared, broker: self.broker, door: self.door, user, call };
        macro_rules! answer {
            ($type:ident, $method:ident) => {
                match decode::<$type>(request) {
                    Some(decoded) => match api.$method(&decoded) {
                        Some(answer) => {
                            Reply::Answer(encode::<$type>(request.correlation_id, request.version, &answer))
                        }
                        None => Reply::Silence,
                    },
                    None => Reply::Hangup(None),
                }
            };
        }
        match key {
            ApiKey::DescribeCluster => answer!(DescribeClusterRequest, describe_cluster),
            ApiKey::DescribeConfigs => answer!(DescribeConfigsRequest, describe_configs),
            ApiKey::DescribeUserScramCredentials => answer!(DescribeUserScramCredentialsRequest, describe_scram),
            ApiKey::AlterUserScramCredentials => answer!(AlterUserScramCredentialsRequest, alter_scram),
            ApiKey::DescribeAcls => answer!(DescribeAclsRequest, describe_acls),
            ApiKey::CreateAcls => answer!(CreateAclsRequest, create_acls),
            ApiKey::DeleteAcls => answer!(DeleteAclsRequest, delete_acls),
            ApiKey::DescribeClientQuotas => answer!(DescribeClientQuotasRequest, describe_quotas),
            ApiKey::AlterClientQuotas => answer!(AlterClientQuotasRequest, alter_quotas),
            _ => Reply::Hangup(None),
        }
    }

    fn api_versions(&self, request: &Incoming, call: &Call) -> Reply {
        let is_known = (0..=4).contains(&request.version);
        let user = UserName::parse("nobody").expect("a name");
        let api = Api { shared: &self.shared, broker: self.broker, door: self.door, user: &user, call };
        if !is_known {
            let answer = api.api_versions(None);
            return Reply::Answer(encode::<ApiVersionsRequest>(request.correlation_id, 0, &answer));
        }
        let Some(decoded) = decode::<ApiVersionsRequest>(request) else { return Reply::Hangup(None) };
        let answer = api.api_versions(Some((&decoded, request.version)));
        Reply::Answer(encode::<ApiVersionsRequest>(request.correlation_id, request.version, &answer))
    }

    fn mechanisms(&self) -> Vec<&'static str> {
        match self.door {
            Door::Admin => vec!["SCRAM-SHA-256", "SCRAM-SHA-512", "PLAIN"],
            Door::Clients => {
                self.shared.settings.client_mechanisms.iter().map(|mechanism| mechanism.as_str()).collect()
            }
        }
    }

    fn count_failure(&self, what: &str) {
        let mut world = self.shared.world();
        *world.failed_authentications.entry(self.broker).or_default() += 1;
        world.failed_logins.push(format!("broker {}, {:?}: {what}", self.broker, self.door));
    }

    fn sasl_handshake(&mut self, request: &Incoming) -> Reply {
        let Some(decoded) = decode::<SaslHandshakeRequest>(request) else { return Reply::Hangup(None) };
        let offered = self.mechanisms();
        let wanted = offered.contains(&decoded.mechanism.as_str()).then(|| SaslMechanism::parse(&decoded.mechanism));
        let names = offered.iter().map(|name| StrBytes::from_static_str(name)).collect();
        let mut answer = SaslHandshakeResponse::default().with_mechanisms(names);
        let is_first = matches!(self.login, Login::Nobody);
        match wanted.flatten().filter(|_| is_first) {
            Some(mechanism) => self.login = Login::Shaken(mechanism),
            None => {
                self.count_failure("handshake");
                answer.error_code = if is_first { UNSUPPORTED_SASL_MECHANISM } else { ILLEGAL_SASL_STATE };
            }
        }
        let body = encode::<SaslHandshakeRequest>(request.correlation_id, request.version, &answer);
        if answer.error_code == 0 { Reply::Answer(body) } else { Reply::Hangup(Some(body)) }
    }

    fn sasl_authenticate(&mut self, request: &Incoming) -> Reply {
        let Some(decoded) = decode::<SaslAuthenticateRequest>(request) else { return Reply::Hangup(None) };
        let before = std::mem::replace(&mut self.login, Login::Nobody);
        let what = match &before {
            Login::Challenged(challenge) => format!("proof of {}", challenge.user),
            Login::Shaken(SaslMechanism::Scram(mechanism)) => {
                format!("{mechanism} {:?}", read_client_first(&decoded.auth_bytes).map(|(user, ..)| user))
            }
            Login::Shaken(SaslMechanism::Plain) => "PLAIN".to_owned(),
            Login::Nobody | Login::Authenticated(_) => "out of turn".to_owned(),
        };
        let step = match before {
            Login::Nobody | Login::Authenticated(_) => None,
            Login::Shaken(SaslMechanism::Plain) => self.check_plain(&decoded.auth_bytes),
            Login::Shaken(SaslMechanism::Scram(mechanism)) => self.challenge(mechanism, &decoded.auth_bytes),
            Login::Challenged(challenge) => {
                challenge.verify(&decoded.auth_bytes).map(|last| (last, Login::Authenticated(challenge.user.clone())))
            }
        };
        let mut answer = SaslAuthenticateResponse::default();
        match step {
            Some((message, login)) => {
                if matches!(login, Login::Authenticated(_)) {
                    answer.session_lifetime_ms = self.shared.settings.session_lifetime_ms;
                }
                self.login = login;
                answer.auth_bytes = message.into();
                Reply::Answer(encode::<SaslAuthenticateRequest>(request.correlation_id, request.version, &answer))
            }
            None => {
                self.count_failure(&what);
                answer.error_code = SASL_AUTHENTICATION_FAILED;
                answer.error_message = Some(StrBytes::from_static_str("org.apache.kafka.common.User@1f2e3d"));
                let body = encode::<SaslAuthenticateRequest>(request.correlation_id, request.version, &answer);
                Reply::Hangup(Some(body))
            }
        }
    }

    fn check_plain(&self, message: &[u8]) -> Option<(String, Login)> {
        let text = std::str::from_utf8(message).ok()?;
        let (user, password) = text.strip_prefix('\0')?.split_once('\0')?;
        let is_right = user == super::KASTELLAN && password == self.shared.world().plain_password;
        is_right.then(|| (String::new(), Login::Authenticated(UserName::parse(user).expect("a name"))))
    }

    fn challenge(&self, mechanism: Mechanism, message: &[u8]) -> Option<(String, Login)> {
        let (user, nonce, bare) = read_client_first(message)?;
        let mut world = self.shared.world();
        let world = &mut *world;
        let image = world.images.get_mut(&self.broker).expect("a broker of the cluster");
        image.advance(&mut world.log);
        let credential = image.login(&user, mechanism)?.clone();
        let challenge = Challenge::new(user, mechanism, credential, &nonce, &bare);
        Some((challenge.message.clone(), Login::Challenged(Box::new(challenge))))
    }
}

/// Decodes a request; `None` for a version that a broker would close the connection for.
fn decode<R: Request>(request: &Incoming) -> Option<R> {
    let versions = R::VERSIONS;
    if !(versions.min..=versions.max).contains(&request.version) {
        return None;
    }
    R::decode(&mut request.body.clone(), request.version).ok()
}
