//! The counter's protocol: everyone in the game receives scores, and the leaderboard covers all Replicas.

use std::net::SocketAddr;

use counter::Games;
use dog::{Env, Limit};
use dog_native::{Running, Server};
use dog_test_support::client::{Client, http};
use dog_test_support::command_line;
use serde_json::json;
use tokio_tungstenite::tungstenite::Message;

/// Starts a server. With a limit of one, each connection has its own Replica.
async fn start(limit: u32) -> (Running, SocketAddr) {
    let server = Server::new(Games).env(Env::new().with(Limit::new(limit))).bind("127.0.0.1:0").workers(2);
    let running = server.start().await.expect("a port is free");
    let address = running.local_addr();
    (running, address)
}

/// Joins and scores `points` points. Returns when the last score has arrived, and not before the player is in the game.
async fn play(address: SocketAddr, query: &str, points: i64) -> Client {
    let mut client = Client::connect(address, &format!("/ws?{query}")).await;
    client.send(json!({ "type": "leaderboard" })).await;
    client.next_of("leaderboard").await;
    let player = query.split(['=', '&']).nth(1).expect("a player").to_owned();
    for score in 1..=points {
        client.send(json!({ "type": "+1" })).await;
        loop {
            let message = client.next_of("score").await;
            if message["player"] == player {
                assert_eq!(message, json!({ "type": "score", "player": player, "score": score }));
                break;
            }
        }
    }
    client
}

#[tokio::test]
async fn the_leaderboard_is_the_ten_best_of_all_replicas() {
    let (_running, address) = start(1).await;
    let mut players = Vec::new();
    for (index, name) in "abcdefghijkl".chars().enumerate() {
        players.push(play(address, &format!("u={name}"), 1 + i64::try_from(index).unwrap() / 2).await);
    }
    players[0].send(json!({ "type": "leaderboard" })).await;
    let board = players[0].next_of("leaderboard").await;
    let names: String =
        board["leaders"].as_array().unwrap().iter().map(|one| one["player"].as_str().unwrap()).collect();
    assert_eq!(names, "klijghefcd");
    assert_eq!(board["leaders"][0], json!({ "player": "k", "score": 6 }));
    assert_eq!(board["missing"], 0);
}

#[tokio::test]
async fn a_score_is_told_to_the_whole_game_and_to_no_other() {
    let (_running, address) = start(1).await;
    let mut ann = play(address, "u=ann&game=one", 1).await;
    let mut bob = play(address, "u=bob&game=one", 0).await;
    let mut cid = play(address, "u=cid&game=two", 0).await;
    ann.send(json!({ "type": "-1" })).await;
    ann.send(json!({ "type": "-1" })).await;
    assert_eq!(bob.next().await, json!({ "type": "score", "player": "ann", "score": 0 }));
    assert_eq!(bob.next().await, json!({ "type": "score", "player": "ann", "score": -1 }));
    cid.send(json!({ "type": "leaderboard" })).await;
    assert_eq!(cid.next().await["leaders"], json!([{ "player": "cid", "score": 0 }]));
}

#[tokio::test]
async fn a_players_connections_are_added_up_and_leave_with_their_points() {
    for limit in [1, 2] {
        let (_running, address) = start(limit).await;
        let first = play(address, "u=ann", 2).await;
        let mut second = Client::connect(address, "/ws?u=ann").await;
        second.send(json!({ "type": "+1" })).await;
        // On its own Replica the second connection starts at zero. On the first one's Replica it continues that score.
        let score = second.next_of("score").await;
        assert_eq!(score["score"], if limit == 1 { 1 } else { 3 });
        second.send(json!({ "type": "leaderboard" })).await;
        assert_eq!(second.next_of("leaderboard").await["leaders"], json!([{ "player": "ann", "score": 3 }]));
        first.close().await;
        second.send(json!({ "type": "leaderboard" })).await;
        assert_eq!(second.next_of("leaderboard").await["leaders"], json!([{ "player": "ann", "score": 1 }]));
    }
}

#[tokio::test]
async fn bad_input_is_answered() {
    let (_running, address) = start(1).await;
    let mut ann = play(address, "u=ann", 0).await;
    for bad in ["", "+1", r#"{"type":"+2"}"#] {
        ann.send_raw(Message::text(bad)).await;
        assert_eq!(ann.next().await["type"], "error");
    }
    assert_eq!(http(address, "GET", "/", "").await.status, 404);
    assert_eq!(http(address, "GET", "/ws", "").await.status, 400);
    assert_eq!(http(address, "GET", "/ws?u=ann", "").await.status, 426);
    assert_eq!(http(address, "POST", "/ws?u=ann", "").await.status, 405);
}

#[tokio::test]
async fn the_command_line_says_what_is_wrong() {
    let program = env!("CARGO_BIN_EXE_counter");
    command_line::check_command_line(program).await;
    command_line::misused(program, &["--limit", "0"], "--limit <SEATS>");
    command_line::refused(program, &["--workers", "0"], "workers");
}

#[tokio::test]
async fn its_operator_sees_it_and_ends_it() {
    command_line::check_operating(env!("CARGO_BIN_EXE_counter"), &[], "/ws?u=user{}").await;
}

#[tokio::test]
async fn it_speaks_tls() {
    command_line::check_tls(env!("CARGO_BIN_EXE_counter")).await;
}
