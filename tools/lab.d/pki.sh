# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# pki - the lab's certificates: EC P-256, made by openssl, keys 0600.
#
#   pki/drover/      CA of the mesh: who is who is in the SAN's URI
#   pki/rogue/       a CA that nobody trusts, and an agent certificate of it
#   pki/migration/   CA for QEMU's TLS alone: QEMU accepts any certificate of its
#                    CA as a client, so no other role may have one
#
# A certificate is NAME.pem with its key NAME-key.pem; a CA is ca.pem.

# openssl talks on stderr even when all is well: shown only when it fails.
openssl_quietly() {
	local output
	output=$(openssl "$@" 2>&1) || die "openssl $1 failed: $output"
}

pki_ca() { # DIRECTORY COMMON_NAME
	mkdir -p "$1"
	openssl_quietly req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 \
		-keyout "$1/ca-key.pem" -out "$1/ca.pem" -subj "/O=drover lab/CN=$2" \
		-addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign
}

# pki_leaf DIRECTORY NAME SUBJECT_ALT_NAMES [EXTENDED_KEY_USAGE [DAYS]]
pki_leaf() {
	local base=$1/$2 ca=$1/ca alt_names=$3 usage=${4:-serverAuth,clientAuth} days=${5:-365}
	printf '%s\n' basicConstraints=CA:FALSE keyUsage=critical,digitalSignature,keyEncipherment \
		"extendedKeyUsage=$usage" "subjectAltName=$alt_names" >"$base.ext"
	openssl_quietly req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes \
		-keyout "$base-key.pem" -out "$base.csr" -subj "/O=drover lab/CN=$2"
	openssl_quietly x509 -req -in "$base.csr" -CA "$ca.pem" -CAkey "$ca-key.pem" \
		-set_serial "0x$(openssl rand -hex 16)" -days "$days" -extfile "$base.ext" -out "$base.pem"
	rm "$base.ext" "$base.csr"
}

# Runs as a job of its own, so that the mask of the keys' modes is only its own.
pki_create() (
	umask 077
	pki=$STATE/pki
	pki_ca "$pki/drover" "drover mesh CA" &
	pki_ca "$pki/rogue" "rogue CA" &
	pki_ca "$pki/migration" "migration CA" &
	wait_jobs
	for host in $(hosts); do
		index=$(index_of "$host")
		pki_leaf "$pki/drover" "agent-$host" \
			"URI:drover://lab/agent/$host,DNS:$host,IP:$MGMT_NET.$index,IP:$MIGRATION_NET.$index" &
		pki_leaf "$pki/migration" "$host" "DNS:$host,IP:$MIGRATION_NET.$index" &
	done
	pki_leaf "$pki/drover" coordinator \
		"URI:drover://lab/coordinator/c1,DNS:coordinator,IP:$COORDINATOR_ADDRESS" &
	pki_leaf "$pki/drover" operator URI:drover://lab/operator/admin clientAuth &
	pki_leaf "$pki/drover" viewer URI:drover://lab/viewer/guest clientAuth &
	# For tests that must be refused.
	stranger="URI:drover://lab/agent/host1,DNS:host1,IP:$MGMT_NET.1,IP:$MIGRATION_NET.1"
	pki_leaf "$pki/rogue" agent-host1 "$stranger" &
	pki_leaf "$pki/drover" expired "$stranger" serverAuth,clientAuth -1 &
	wait_jobs
)

# pki_install NODE: what the node's daemons read, under its private /etc.
pki_install() {
	local node=$1 pki=$STATE/pki name=coordinator to
	to=$(dir_of "$node")/etc-drover
	[[ $node == coordinator ]] || name=agent-$node
	install -m 0644 "$pki/drover/ca.pem" "$to/ca.pem"
	install -m 0644 "$pki/drover/$name.pem" "$to/cert.pem"
	install -m 0600 "$pki/drover/$name-key.pem" "$to/key.pem"
	[[ $node != coordinator ]] || return 0
	to=$(dir_of "$node")/etc-libvirt/pki-migration
	mkdir -p "$to"
	install -m 0644 "$pki/migration/ca.pem" "$to/ca-cert.pem"
	local side
	for side in server client; do
		install -m 0644 "$pki/migration/$node.pem" "$to/$side-cert.pem"
		install -m 0600 "$pki/migration/$node-key.pem" "$to/$side-key.pem"
	done
}
