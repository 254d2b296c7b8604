//! UDP between simulated hosts: what a network may do with datagrams, and that a replay does the same again.

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pirn::net::UdpSocket;
use pirn::time::{sleep, timeout};
use pirn_sim::{Datagrams, Faults, Network, Simulation, Verdict};

const COUNT: u8 = 100;

/// Two hosts: one sends numbered datagrams, the other notes what comes.
fn numbers(datagrams: Datagrams, seen: Arc<Mutex<Vec<u8>>>) -> Simulation {
    let noted = move || {
        let seen = Arc::clone(&seen);
        async move {
            let socket = UdpSocket::bind("0.0.0.0:9").await?;
            let (mut all, mut buffer) = (Vec::new(), [0; 4]);
            while let Ok(received) = timeout(Duration::from_secs(20), socket.recv_from(&mut buffer)).await {
                let (count, from) = received?;
                assert_eq!((count, from.ip()), (1, pirn_sim::host_addr("sender")));
                all.push(buffer[0]);
            }
            *seen.lock().expect("no panic") = all;
            io::Result::Ok(())
        }
    };
    Simulation::new("numbers")
        .host("receiver", noted)
        .host("sender", || async {
            sleep(Duration::from_secs(1)).await;
            let socket = UdpSocket::bind("0.0.0.0:0").await?;
            let to = (pirn_sim::host_addr("receiver"), 9).into();
            for number in 0..COUNT {
                socket.send_to(&[number], to).await?;
                sleep(Duration::from_millis(1)).await;
            }
            io::Result::Ok(())
        })
        // So far that a late one comes behind the next ones.
        .network(Network {
            datagrams,
            latency: Duration::from_millis(1)..=Duration::from_millis(20),
            ..Network::default()
        })
        .faults(Faults::none())
}

fn run(simulation: &Simulation, seen: &Mutex<Vec<u8>>, seed: u64) -> Vec<u8> {
    let outcome = simulation.run(seed);
    assert!(matches!(outcome.verdict, Verdict::Pass), "seed {seed}: {:?}", outcome.verdict);
    let all = std::mem::take(&mut *seen.lock().expect("no panic"));
    let again = simulation.replay(&outcome.trace).expect("the same again");
    assert_eq!(outcome.digest, again.digest);
    assert_eq!(all, std::mem::take(&mut *seen.lock().expect("no panic")), "a replay brings the same");
    all
}

#[test]
fn a_good_network_brings_all_in_order() {
    let seen = Arc::<Mutex<Vec<u8>>>::default();
    let simulation = numbers(Datagrams::default(), Arc::clone(&seen));
    for seed in 0..10 {
        assert_eq!(run(&simulation, &seen, seed), (0..COUNT).collect::<Vec<_>>());
    }
}

#[test]
fn a_bad_network_loses_doubles_and_mixes() {
    let seen = Arc::<Mutex<Vec<u8>>>::default();
    let simulation = numbers(Datagrams { lost: 200, twice: 200, late: 200 }, Arc::clone(&seen));
    let (mut lost, mut doubled, mut mixed) = (0, 0, 0);
    for seed in 0..10 {
        let all = run(&simulation, &seen, seed);
        let count = |number| all.iter().filter(|&&seen| seen == number).count();
        lost += (0..COUNT).filter(|&number| count(number) == 0).count();
        doubled += (0..COUNT).filter(|&number| count(number) == 2).count();
        mixed += usize::from(!all.is_sorted());
    }
    assert!(lost > 100 && lost < 300, "{lost} of 1,000 lost");
    assert!(doubled > 80 && doubled < 250, "{doubled} of 1,000 doubled");
    assert!(mixed > 5, "{mixed} of 10 runs out of order");
}

#[test]
fn a_partition_loses_datagrams_for_good() {
    let simulation = Simulation::new("partition")
        .host("one", || async {
            let socket = UdpSocket::bind("0.0.0.0:9").await?;
            let mut buffer = [0; 8];
            let (count, from) = socket.recv_from(&mut buffer).await?;
            assert_eq!(&buffer[..count], b"after");
            socket.send_to(b"answer", from).await.map(drop)
        })
        .host("two", || async {
            sleep(Duration::from_secs(1)).await;
            let socket = UdpSocket::bind("0.0.0.0:0").await?;
            socket.connect("one:9").await?;
            pirn_sim::partition("one", "two");
            socket.send(b"during").await?;
            sleep(Duration::from_secs(1)).await;
            pirn_sim::heal("one", "two");
            sleep(Duration::from_secs(1)).await;
            socket.send(b"after").await?;
            let mut buffer = [0; 8];
            assert_eq!(socket.recv(&mut buffer).await?, 6);
            io::Result::Ok(())
        });
    for seed in 0..20 {
        let verdict = simulation.run(seed).verdict;
        assert!(matches!(verdict, Verdict::Pass), "seed {seed}: {verdict:?}");
    }
}
