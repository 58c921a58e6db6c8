#!/bin/sh
# Runs a PostgreSQL for tests on 127.0.0.1:PORT, in a directory of its own, until standard input ends; then nothing of it is left. Prints its address
# when it answers. Never touches a server that happens to run.
#
# Takes orders from standard input, one a line, and answers each with a line when it is done: `stop` cuts all connections, `kill` leaves no time to tidy
# up, `start` begins anew at the same port, `pause` and `resume` make it say nothing for a while.
#
#   postgres.sh PORT [-c setting=value …]
#
# Everybody is let in as the superuser postgres; the role needs_password wants one. HOOKPOST_TEST_POSTGRES_BIN names the directory of another version's initdb
# and postgres.
set -eu
port=$1
shift

# Whoever started this closes its input, also by dying: only then is it time to go.
trap '' INT TERM HUP
newest=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -t/ -k5 -n | tail -n 1)
PATH=${HOOKPOST_TEST_POSTGRES_BIN:+$HOOKPOST_TEST_POSTGRES_BIN:}${newest:+$newest:}$PATH
command -v initdb >/dev/null || { echo "postgres.sh: initdb is not installed (Debian: apt-get install postgresql)" >&2; exit 1; }

# PostgreSQL refuses to run as root.
as=
dir=$(mktemp -d "${TMPDIR:-/tmp}/hookpost-postgres.XXXXXX")
if [ "$(id -u)" = 0 ]; then
    as='setpriv --reuid=postgres --regid=postgres --init-groups'
    chown postgres "$dir"
fi
server=
# What stands still hears of nothing else.
all() { pgrep -P "$server" | xargs kill "$1" "$server" 2>/dev/null || true; }
end() {
    if [ -n "$server" ]; then
        kill "$1" "$server" 2>/dev/null || true
        all -CONT
        wait "$server" 2>/dev/null || true
        server=
    fi
}
finish() {
    end -QUIT
    rm -rf "$dir"
}
trap finish EXIT
cd "$dir"

$as initdb --pgdata="$dir/data" --username=postgres --auth=trust --encoding=UTF8 --locale=C --no-sync --no-instructions >"$dir/log" 2>&1 ||
    { cat "$dir/log" >&2; exit 1; }
{
    echo "host all needs_password 127.0.0.1/32 scram-sha-256"
    echo "host all all 127.0.0.1/32 trust"
} >"$dir/data/pg_hba.conf"

# Nothing here must outlive the machine; connections are many and small.
start() {
    $as postgres -D "$dir/data" -p "$port" -c listen_addresses=127.0.0.1 -c unix_socket_directories= \
        -c fsync=off -c full_page_writes=off -c max_connections=400 -c shared_buffers=64MB -c max_wal_size=4GB \
        -c wal_level=minimal -c max_wal_senders=0 -c autovacuum_naptime=10min -c jit=off "$@" >"$dir/log" 2>&1 </dev/null &
    server=$!
    # 600 looks of 50 ms are half a minute.
    looks=0
    until pg_isready --quiet --host=127.0.0.1 --port="$port"; do
        looks=$((looks + 1))
        if [ "$looks" -gt 600 ] || ! kill -0 "$server" 2>/dev/null; then
            cat "$dir/log" >&2
            exit 1
        fi
        sleep 0.05
    done
}

start "$@"
echo "postgres://postgres@127.0.0.1:$port/postgres"
while read -r order; do
    case $order in
        start) start "$@" ;;
        stop) end -INT ;;
        kill)
            # Its processes notice one after the other that it is gone; until then nobody can take its place.
            all -KILL
            wait "$server" 2>/dev/null || true
            server=
            ;;
        pause) all -STOP ;;
        resume) all -CONT ;;
        *) echo "postgres.sh: there is no order $order" >&2 && exit 2 ;;
    esac
    echo done
done
