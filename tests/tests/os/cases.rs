//! The listed cases. Each uses the machine's traits only, so it runs in a live process and in a simulated thread.

use super::world::World;

mod cancel;
mod datagram;
mod driver;
mod file;
mod local;
mod names;
mod tcp;

/// A case.
pub(crate) type Case = fn(&World);

macro_rules! cases {
    ($($module:ident: $($name:ident)*;)*) => {
        /// All of them, by name.
        #[allow(dead_code, reason = "run one by one on the live machines, as a list in the simulator")]
        pub(crate) const CASES: &[(&str, Case)] = &[$($((stringify!($name), $module::$name)),*),*];

        mod on_epoll {
            $($(
                #[test]
                fn $name() {
                    super::super::live::on_epoll(super::$module::$name);
                }
            )*)*
        }

        mod on_uring {
            $($(
                #[test]
                fn $name() {
                    super::super::live::on_uring(super::$module::$name);
                }
            )*)*
        }
    };
}

cases! {
    driver:
        clock_moves_on
        wait_lasts_until_its_deadline
        unpark_is_sticky
        unpark_ends_a_wait
        threads_start_and_end
        look_collects_at_most_a_batch
        looks_that_do_not_wait_suffice
        op_from_another_driver
        dropped_driver_lets_go
        many_connections_at_once
        peer_reaps
    ;
    tcp:
        connect_then_accept
        accept_then_connect
        connect_is_refused
        address_in_use
        names_match_crosswise
        bytes_arrive_in_order
        large_send_is_one_completion
        receive_takes_at_most_max
        receive_waits_for_bytes
        end_of_stream_after_shutdown
        half_closed_still_receives
        data_and_end_together
        send_after_own_shutdown
        receive_after_own_shutdown
        close_with_unread_bytes_resets
        unconnected_socket_refuses
        ops_of_one_side_keep_their_order
        descriptor_outlives_its_op
        dropped_connection_closes
        peek_leaves_the_bytes
        vectored_calls
        direct_and_waiting_calls_mix
        options_come_back
    ;
    cancel:
        cancelled_receive_loses_nothing
        cancelled_accept_loses_nothing
        cancelled_connect_hurts_no_other
        cancelled_send_gives_the_buffer_back
        cancel_of_the_past_does_nothing
        cancelled_op_comes_without_a_wait
        cancel_in_a_queue_of_ops
    ;
    datagram:
        datagrams_have_bounds_and_senders
        batches_of_datagrams
        a_peeked_datagram_stays
        connected_datagram_sockets
        ready_comes_with_its_reason
        cancelled_ready_loses_nothing
        datagram_calls_that_are_refused
        unix_datagrams_wait_for_room
    ;
    local:
        unix_connections_have_names
        unix_bytes_cross
        unix_names_are_refused
        unix_pairs_half_close
        pipes_carry_bytes_one_way
        a_broken_pipe_is_told
        a_pipe_is_no_socket
    ;
    file:
        bytes_come_back
        read_appends_to_what_the_buffer_holds
        nothing_is_read_or_written_of_length_zero
        a_hole_reads_as_zeros
        huge_offsets
        length_is_cut_and_extended
        a_file_shrinks_under_its_reader
        direct_calls_and_ops_agree
        what_is_not_open_for_it_is_refused
        appends_go_to_the_end
        ways_to_open
        facts
        sync_and_advice
        cold_pages_become_hot
        an_open_file_outlives_its_name
        a_file_outlives_its_op
        cancelled_file_ops_resolve_once
        a_socket_is_no_file
    ;
    names:
        folders
        removal
        renames
        hard_links
        symbolic_links
        beneath_a_folder
        many_entries
        whole_paths
        paths_from_an_open_folder
        many_file_ops_at_once
    ;
}
