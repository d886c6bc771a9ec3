# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# certificates - those that "drover init" and "drover join" would never make, for peers that must be
# refused and for roles that no host has: EC P-256, made by openssl, keys 0600.
#
# A certificate is NAME.pem with its key NAME-key.pem; a CA is ca.pem with ca-key.pem, as in
# /var/lib/drover/pki, whose own keys sign here, too.

# openssl talks on stderr even when all is well: shown only when it fails.
openssl_quietly() {
	local output
	output=$(openssl "$@" 2>&1) || { printf 'openssl %s failed: %s\n' "$1" "$output" >&2; return 1; }
}

pki_ca() { # DIRECTORY COMMON_NAME
	mkdir -p "$1"
	openssl_quietly req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 \
		-keyout "$1/ca-key.pem" -out "$1/ca.pem" -subj "/O=drover tests/CN=$2" \
		-addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign
}

# pki_leaf DIRECTORY NAME SUBJECT_ALT_NAMES [EXTENDED_KEY_USAGE [DAYS [CA_DIRECTORY]]]
pki_leaf() {
	local base=$1/$2 ca=${6:-$1}/ca alt_names=$3 usage=${4:-serverAuth,clientAuth} days=${5:-365}
	mkdir -p "$1"
	printf '%s\n' basicConstraints=CA:FALSE keyUsage=critical,digitalSignature,keyEncipherment \
		"extendedKeyUsage=$usage" "subjectAltName=$alt_names" >"$base.ext"
	openssl_quietly req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes \
		-keyout "$base-key.pem" -out "$base.csr" -subj "/O=drover tests/CN=$2"
	openssl_quietly x509 -req -in "$base.csr" -CA "$ca.pem" -CAkey "$ca-key.pem" \
		-set_serial "0x$(openssl rand -hex 16)" -days "$days" -extfile "$base.ext" -out "$base.pem"
	rm "$base.ext" "$base.csr"
}

# lab_certificates: of the lab that is up, into $LAB_STATE/certificates: operator, viewer, expired
# (host1's name), rogue (host1's name, and a CA that nobody trusts).
lab_certificates() {
	local to=$LAB_STATE/certificates authority=$LAB_STATE/hosts/coordinator/var-drover/pki
	local host1="URI:drover://lab/agent/host1,DNS:host1,IP:10.77.0.1,IP:10.78.0.1"
	(
		umask 077
		pki_leaf "$to" operator URI:drover://lab/operator/admin clientAuth 365 "$authority"
		pki_leaf "$to" viewer URI:drover://lab/viewer/guest clientAuth 365 "$authority"
		pki_leaf "$to" expired "$host1" serverAuth,clientAuth -1 "$authority"
		pki_ca "$to/rogue" "rogue CA"
		pki_leaf "$to" rogue "$host1" serverAuth,clientAuth 365 "$to/rogue"
	)
}
