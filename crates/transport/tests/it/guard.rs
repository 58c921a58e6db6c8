//! That no spelling of a private address is reached, by name or by number.

use hookpost_domain::delivery::TransportErrorKind as Kind;
use hookpost_engine::Transport;
use hookpost_transport::{AddressPolicy, HttpTransport, TransportSettings};
use http::Response;

use crate::receiver::Receiver;
use crate::{assert_error, post};

#[tokio::test]
async fn private_addresses_are_refused_however_they_are_written() {
    let receiver = Receiver::answering(|_| Response::default()).await;
    let transport = HttpTransport::new(TransportSettings::default());
    for host in [
        "127.0.0.1",
        "localhost",
        "2130706433",
        "0x7f000001",
        "0x7f.1",
        "0177.0.0.1",
        "127.1",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "0.0.0.0",
        "[::]",
        "10.1.2.3",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "[fd00::1]",
        "[fe80::1]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
    ] {
        let result = transport.send(post(&format!("http://user:secret@{host}:{}/secret", receiver.port))).await;
        assert_error(result, Kind::BlockedAddress, "HOOKPOST_ALLOW_PRIVATE_NETWORKS");
    }
    assert_error(transport.send(post("http://255.255.255.255/")).await, Kind::BlockedAddress, "HOOKPOST_ALLOWED_SUBNETS can allow it");
    assert_eq!(receiver.connections(), 0);
}

#[tokio::test]
async fn an_allowed_subnet_is_reached() {
    let receiver = Receiver::answering(|_| Response::default()).await;
    let policy = AddressPolicy { allow_private_networks: false, allowed_subnets: vec!["127.0.0.0/8".parse().expect("a subnet")] };
    let transport = HttpTransport::new(TransportSettings { addresses: policy, ..TransportSettings::default() });
    for host in ["127.0.0.1", "2130706433", "localhost"] {
        transport.send(post(&format!("http://{host}:{}/", receiver.port))).await.expect("an answer");
    }
    assert_error(transport.send(post("http://10.0.0.1/")).await, Kind::BlockedAddress, "a private address");
}
