//! The PROXY protocol: a load balancer in front tells whom it speaks for, before the first byte of the client.
//! Reads exactly the header and not a byte more, so that TLS or HTTP can follow on the same stream. Whether a peer may
//! send one is decided by the caller.

use std::io;
use std::net::IpAddr;

use ppp::{v1, v2};
use tokio::io::{AsyncRead, AsyncReadExt};

use super::config::ProxyProtocol;

/// A v1 header has at most 107 bytes, its line end included.
const V1_MAX: usize = 107;
/// The signature and the four fixed bytes of a v2 header.
const V2_FIXED: usize = 16;
const V2_SIGNATURE: usize = v2::PROTOCOL_PREFIX.len();
/// What may follow the fixed part: addresses and a few extensions. The format would allow 64 KiB.
const V2_MAX_REST: usize = 2048;

/// Why a PROXY header was not taken.
#[derive(Debug, thiserror::Error)]
pub(super) enum ProxyHeaderError {
    /// The connection ended or failed before the header was complete.
    #[error("the connection ended inside the PROXY header: {0}")]
    Io(#[from] io::Error),
    /// The bytes are no PROXY header of a version that this listener accepts.
    #[error("no PROXY header of an accepted version")]
    Missing,
    /// A v2 header announces more than 2048 bytes.
    #[error("a PROXY header of {0} bytes, more than {V2_MAX_REST}")]
    TooLong(usize),
    /// The header is malformed; the text says where.
    #[error("malformed PROXY header: {0}")]
    Malformed(String),
}

/// Reads one header. `None`: the proxy speaks for itself (a health check) or does not know the client.
pub(super) async fn read<S>(
    stream: &mut S,
    accepted: ProxyProtocol,
) -> Result<Option<IpAddr>, ProxyHeaderError>
where
    S: AsyncRead + Unpin,
{
    let mut header = vec![0; V2_SIGNATURE];
    stream.read_exact(&mut header).await?;
    if header == v2::PROTOCOL_PREFIX && accepted.takes_v2() {
        read_v2(stream, header).await
    } else if header.starts_with(b"PROXY ") && accepted.takes_v1() {
        read_v1(stream, header).await
    } else {
        Err(ProxyHeaderError::Missing)
    }
}

async fn read_v1<S>(stream: &mut S, mut header: Vec<u8>) -> Result<Option<IpAddr>, ProxyHeaderError>
where
    S: AsyncRead + Unpin,
{
    while !header.ends_with(b"\r\n") {
        // As many bytes as certainly still belong to the header: the rest of its line end.
        let sure = if header.ends_with(b"\r") { 1 } else { 2 };
        let read = header.len();
        header.resize(read + sure, 0);
        stream.read_exact(&mut header[read..]).await?;
        if header.len() > V1_MAX {
            return Err(ProxyHeaderError::Malformed(format!(
                "no line end within {V1_MAX} bytes"
            )));
        }
    }
    // The parser slices behind a carriage return wherever it stands, which only ASCII survives.
    if !header.is_ascii() {
        return Err(ProxyHeaderError::Malformed("not ASCII".to_owned()));
    }
    let header = v1::Header::try_from(header.as_slice())
        .map_err(|e| ProxyHeaderError::Malformed(e.to_string()))?;
    Ok(match header.addresses {
        v1::Addresses::Tcp4(addresses) => Some(addresses.source_address.into()),
        v1::Addresses::Tcp6(addresses) => {
            Some(IpAddr::from(addresses.source_address).to_canonical())
        }
        v1::Addresses::Unknown => None,
    })
}

async fn read_v2<S>(stream: &mut S, mut header: Vec<u8>) -> Result<Option<IpAddr>, ProxyHeaderError>
where
    S: AsyncRead + Unpin,
{
    header.resize(V2_FIXED, 0);
    stream.read_exact(&mut header[V2_SIGNATURE..]).await?;
    let rest = usize::from(u16::from_be_bytes([
        header[V2_FIXED - 2],
        header[V2_FIXED - 1],
    ]));
    if rest > V2_MAX_REST {
        return Err(ProxyHeaderError::TooLong(rest));
    }
    header.resize(V2_FIXED + rest, 0);
    stream.read_exact(&mut header[V2_FIXED..]).await?;
    let header = v2::Header::try_from(header.as_slice())
        .map_err(|e| ProxyHeaderError::Malformed(e.to_string()))?;
    Ok(match (header.command, header.addresses) {
        (v2::Command::Proxy, v2::Addresses::IPv4(addresses)) => {
            Some(addresses.source_address.into())
        }
        (v2::Command::Proxy, v2::Addresses::IPv6(addresses)) => {
            Some(IpAddr::from(addresses.source_address).to_canonical())
        }
        (v2::Command::Local, _)
        | (v2::Command::Proxy, v2::Addresses::Unspecified | v2::Addresses::Unix(_)) => None,
    })
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use proptest::prelude::*;

    use super::*;

    /// What `read` makes of these bytes, and what it leaves of them.
    fn parse(
        mut bytes: &[u8],
        accepted: ProxyProtocol,
    ) -> (Result<Option<IpAddr>, ProxyHeaderError>, Vec<u8>) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let result = runtime.block_on(read(&mut bytes, accepted));
        (result, bytes.to_vec())
    }

    fn v2_header(command: v2::Command, source: SocketAddr, extra: usize) -> Vec<u8> {
        let to: SocketAddr = if source.is_ipv4() {
            "10.0.0.9:80"
        } else {
            "[fd00::9]:80"
        }
        .parse()
        .unwrap();
        let mut builder = v2::Builder::with_addresses(
            v2::Version::Two | command,
            v2::Protocol::Stream,
            (source, to),
        );
        if extra > 0 {
            builder = builder.write_tlv(v2::Type::NoOp, &vec![0; extra]).unwrap();
        }
        builder.build().unwrap()
    }

    #[test]
    fn v1_is_read_to_its_line_end_and_no_further() {
        let (client, left) = parse(
            b"PROXY TCP4 198.51.100.7 10.0.0.9 5000 80\r\nGET /",
            ProxyProtocol::Any,
        );
        assert_eq!(client.unwrap(), Some("198.51.100.7".parse().unwrap()));
        assert_eq!(left, b"GET /");
        let (client, left) = parse(
            b"PROXY TCP6 2001:db8::1 fd00::9 5000 80\r\n",
            ProxyProtocol::V1,
        );
        assert_eq!(client.unwrap(), Some("2001:db8::1".parse().unwrap()));
        assert!(left.is_empty());
        let (client, left) = parse(b"PROXY UNKNOWN\r\nG", ProxyProtocol::V1);
        assert_eq!((client.unwrap(), left), (None, b"G".to_vec()));
    }

    #[test]
    fn v2_is_read_with_its_extensions_and_no_further() {
        for source in ["198.51.100.7:5000", "[2001:db8::1]:5000"] {
            let source: SocketAddr = source.parse().unwrap();
            let mut bytes = v2_header(v2::Command::Proxy, source, 100);
            bytes.extend_from_slice(b"GET /");
            let (client, left) = parse(&bytes, ProxyProtocol::V2);
            assert_eq!(client.unwrap(), Some(source.ip()));
            assert_eq!(left, b"GET /");
        }
    }

    #[test]
    fn a_local_command_names_no_client() {
        let bytes = v2_header(v2::Command::Local, "198.51.100.7:5000".parse().unwrap(), 0);
        assert_eq!(parse(&bytes, ProxyProtocol::Any).0.unwrap(), None);
    }

    #[test]
    fn only_the_configured_version_is_taken() {
        let v1 = b"PROXY UNKNOWN\r\n";
        let v2 = v2_header(v2::Command::Local, "198.51.100.7:5000".parse().unwrap(), 0);
        assert!(matches!(
            parse(v1, ProxyProtocol::V2).0,
            Err(ProxyHeaderError::Missing)
        ));
        assert!(matches!(
            parse(&v2, ProxyProtocol::V1).0,
            Err(ProxyHeaderError::Missing)
        ));
        assert!(matches!(
            parse(b"GET /ws HTTP/1.1\r\n", ProxyProtocol::Any).0,
            Err(ProxyHeaderError::Missing)
        ));
    }

    #[test]
    fn lengths_are_bounded() {
        let endless = format!("PROXY {}", "x".repeat(500));
        assert!(matches!(
            parse(endless.as_bytes(), ProxyProtocol::V1).0,
            Err(ProxyHeaderError::Malformed(_))
        ));
        let fat = v2_header(
            v2::Command::Proxy,
            "198.51.100.7:5000".parse().unwrap(),
            3000,
        );
        let (result, left) = parse(&fat, ProxyProtocol::V2);
        assert!(matches!(result, Err(ProxyHeaderError::TooLong(_))));
        assert_eq!(
            left.len(),
            fat.len() - V2_FIXED,
            "a header that is too long is not read"
        );
    }

    #[test]
    fn a_truncated_header_is_an_error() {
        let bytes = v2_header(v2::Command::Proxy, "198.51.100.7:5000".parse().unwrap(), 0);
        for end in 0..bytes.len() {
            assert!(matches!(
                parse(&bytes[..end], ProxyProtocol::Any).0,
                Err(ProxyHeaderError::Io(_))
            ));
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_harm(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            drop(parse(&bytes, ProxyProtocol::Any));
        }

        #[test]
        fn any_text_behind_the_v1_prefix_is_read_without_harm(text in "[ \r\n0-9.:TCP46é]{0,110}") {
            drop(parse(format!("PROXY {text}\r\n").as_bytes(), ProxyProtocol::V1));
        }

        #[test]
        fn any_bytes_behind_the_v2_signature_are_read_without_harm(
            fixed in any::<[u8; 2]>(),
            length in 0..300_u16,
            rest in proptest::collection::vec(any::<u8>(), 0..400),
        ) {
            let mut bytes = v2::PROTOCOL_PREFIX.to_vec();
            bytes.extend_from_slice(&fixed);
            bytes.extend_from_slice(&length.to_be_bytes());
            bytes.extend_from_slice(&rest);
            let (result, left) = parse(&bytes, ProxyProtocol::V2);
            if result.is_ok() {
                prop_assert_eq!(left.len(), rest.len() - usize::from(length));
            }
        }
    }
}
