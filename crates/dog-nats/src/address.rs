//! Parses the addresses of NATS and the login of a node from one text: `nats://USER:PASSWORD@HOST:PORT`, or several of
//! them separated by commas. Parsing removes the login from the addresses. No error repeats a part of the text, because
//! it may contain a password.

use async_nats::ServerAddr;
use percent_encoding::percent_decode_str;

/// How a node logs in.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) enum Login {
    #[default]
    Anonymous,
    Token(String),
    User(String, String),
    Credentials(std::path::PathBuf),
}

/// The servers without a login, and the login for all of them.
pub(crate) struct Addresses {
    pub(crate) servers: Vec<ServerAddr>,
    pub(crate) login: Login,
}

impl Addresses {
    /// Parses the text. `set` is the login from the other settings.
    pub(crate) fn read(text: &str, set: &Login) -> Result<Self, String> {
        let (mut servers, mut login) = (Vec::new(), Login::Anonymous);
        let all: Vec<&str> = text.split(',').map(str::trim).collect();
        for (one, number) in all.iter().zip(1..) {
            // The error does not repeat the text: even a text that cannot be parsed may contain a password.
            let wrong = |what: &str| format!("address {number} of {} of NATS: {what}", all.len());
            let (server, found) = read_one(one).map_err(|what| wrong(&what))?;
            servers.push(server);
            match found {
                Login::Anonymous => {}
                _ if login == Login::Anonymous => login = found,
                _ if login == found => {}
                _ => return Err(wrong("its login differs from an earlier one: all servers get the same login")),
            }
        }
        if login == Login::Anonymous {
            login = set.clone();
        } else if *set != Login::Anonymous {
            let what = "the address of NATS has a login, and another setting has one too: leave one of them out";
            return Err(what.to_owned());
        }
        Ok(Self { servers, login })
    }

    /// Formats the servers as text for logs.
    pub(crate) fn shown(servers: &[ServerAddr]) -> String {
        let shown: Vec<&str> = servers.iter().map(ServerAddr::as_url_str).collect();
        shown.join(", ")
    }
}

const FORM: &str =
    "it is not valid: give nats://HOST:PORT or nats://USER:PASSWORD@HOST:PORT, with special characters as %XX";

fn read_one(text: &str) -> Result<(ServerAddr, Login), String> {
    let parsed: ServerAddr = text.parse().map_err(|_| FORM.to_owned())?;
    let mut url = parsed.into_inner();
    let more = !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some();
    // With an unescaped `/` in the password, the parser takes the user name for the host and the rest for a path.
    if more || !matches!(url.scheme(), "nats" | "tls") || url.host_str().is_none_or(str::is_empty) {
        return Err(FORM.to_owned());
    }
    let plain = |part: &str| match percent_decode_str(part).decode_utf8() {
        Ok(part) => Ok(part.into_owned()),
        Err(_) => Err("its user or password is not UTF-8".to_owned()),
    };
    let login = match (url.username(), url.password()) {
        ("", None) => Login::Anonymous,
        ("", Some(_)) => return Err("it has a password and no user".to_owned()),
        (_, None) if text.contains(":@") => return Err("its password is empty".to_owned()),
        (token, None) => Login::Token(plain(token)?),
        (user, Some(password)) => Login::User(plain(user)?, plain(password)?),
    };
    url.set_username("").and_then(|()| url.set_password(None)).map_err(|()| FORM.to_owned())?;
    url.set_path("");
    let server = ServerAddr::from_url(url).map_err(|_| FORM.to_owned())?;
    Ok((server, login))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<(String, Login), String> {
        let Addresses { servers, login } = Addresses::read(text, &Login::Anonymous)?;
        Ok((Addresses::shown(&servers), login))
    }

    fn user(name: &str, password: &str) -> Login {
        Login::User(name.into(), password.into())
    }

    #[test]
    fn the_login_is_taken_out_of_the_address() {
        for (text, shown, login) in [
            ("nats://10.0.0.1:4222", "nats://10.0.0.1:4222", Login::Anonymous),
            ("10.0.0.1", "nats://10.0.0.1", Login::Anonymous),
            ("nats://me:pass@10.0.0.1:4222", "nats://10.0.0.1:4222", user("me", "pass")),
            ("me:pass@nats.example", "nats://nats.example", user("me", "pass")),
            ("tls://t0ken@nats.example/", "tls://nats.example", Login::Token("t0ken".into())),
            ("nats://me%40home:p%3Aa%2Fs%25%20%C3%B6@[::1]:1", "nats://[::1]:1", user("me@home", "p:a/s% ö")),
            ("nats://me:p@ss:w@nats.example", "nats://nats.example", user("me", "p@ss:w")),
            (
                "nats://me:pass@one, nats://two:5 ,me:pass@three",
                "nats://one, nats://two:5, nats://three",
                user("me", "pass"),
            ),
        ] {
            let read = read(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert!(read == (shown.to_owned(), login), "{text}: {}", read.0);
        }
    }

    #[test]
    fn an_address_that_cannot_be_parsed_is_an_error_that_repeats_nothing_of_it() {
        for (text, because) in [
            ("", "address 1 of 1 of NATS: it is not valid"),
            ("nats://", "it is not valid"),
            ("http://me:secret@nats.example", "it is not valid"),
            ("nats://me:secret", "it is not valid"),
            ("nats://me:12/secret@nats.example", "it is not valid"),
            ("nats://me:secret?x@nats.example", "it is not valid"),
            ("nats://me:secret#x@nats.example", "it is not valid"),
            ("nats://one,nats://me:secret", "address 2 of 2"),
            ("nats://me:sec,ret@nats.example", "address 1 of 2"),
            ("nats://me:secret@one,nats://me:other@two", "differs from an earlier one"),
            ("nats://me:secret@one,nats://secret@two", "differs from an earlier one"),
            ("nats://:secret@one", "no user"),
            ("nats://secret:@one", "empty"),
            ("nats://me:secret%ff@one", "UTF-8"),
        ] {
            let error = read(text).err().unwrap_or_else(|| panic!("{text} was accepted"));
            assert!(error.contains(because), "{text}: {error}");
            assert!(!error.contains("secret") && !error.contains("sec,") && !error.contains("other@"), "{error}");
        }
    }

    #[test]
    fn a_login_is_given_once() {
        for set in [user("me", "pass"), Login::Token("pass".into()), Login::Credentials("file".into())] {
            let error = Addresses::read("nats://me:pass@one", &set).err().expect("it is given twice");
            assert!(error.contains("leave one of them out") && !error.contains("pass"), "{error}");
            assert!(Addresses::read("nats://one", &set).is_ok_and(|read| read.login == set));
        }
    }
}
