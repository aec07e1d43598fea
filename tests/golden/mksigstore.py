#!/usr/bin/env python3
"""Make the golden group `sigstore`: images signed by the real skopeo and cosign.

    mksigstore.py DIR

Needs skopeo >= 1.20, cosign >= 3, docker-registry and openssl in PATH and Python's `cryptography`. An authority like
Fulcio and a log like Rekor run on loopback for as long as it takes; all keys are made anew and thrown away, but for the
public ones. What is left in DIR is described in the README beside this file.
"""
import base64, datetime, hashlib, http.server, json, os, pathlib, shutil, subprocess, sys, threading, time

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

OUT = pathlib.Path(sys.argv[1]).resolve()
WORK = OUT.parent / (OUT.name + ".work")
ISSUER = "https://login.example.com"
EMAIL = "alice@example.com"
WORKFLOW = "https://git.example.com/org/os/.workflows/build.yml@refs/heads/main"
PEM = serialization.Encoding.PEM
DER = serialization.Encoding.DER
SPKI = serialization.PublicFormat.SubjectPublicKeyInfo
now = lambda: datetime.datetime.now(datetime.timezone.utc)
b64 = lambda data: base64.b64encode(data).decode()


def run(*args, **kwargs):
    print("+", *args, flush=True)
    return subprocess.run([str(a) for a in args], check=True, stdout=subprocess.PIPE, **kwargs).stdout.decode()


def public(key):
    return key.public_key().public_bytes(PEM, SPKI)


def private(key):
    return key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


class Authority:
    """A root and an intermediate below it."""

    def __init__(self, name):
        self.root_key, self.key = ec.generate_private_key(ec.SECP384R1()), ec.generate_private_key(ec.SECP384R1())
        self.root = self.certificate(name + " root", self.root_key.public_key(), None, None, 3650, ca=1)
        self.intermediate = self.certificate(name + " intermediate", self.key.public_key(), self.root.subject,
                                             self.root_key, 3650, ca=0)

    def certificate(self, name, key, issuer, signer, days, ca=None, names=(), more=(), minutes=0):
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)] if name else [])
        builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer or subject).public_key(key)
        builder = builder.serial_number(x509.random_serial_number()).not_valid_before(now() - datetime.timedelta(minutes=1))
        builder = builder.not_valid_after(now() + datetime.timedelta(days=days, minutes=minutes))
        builder = builder.add_extension(x509.BasicConstraints(ca is not None, ca), critical=True)
        usage = dict.fromkeys(["content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
                               "encipher_only", "decipher_only"], False)
        usage = x509.KeyUsage(digital_signature=ca is None, key_cert_sign=ca is not None, crl_sign=ca is not None, **usage)
        builder = builder.add_extension(usage, critical=True)
        if ca != 1:
            builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), critical=False)
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(list(names)), critical=not name)
        for number, value in more:
            oid = x509.ObjectIdentifier(f"1.3.6.1.4.1.57264.1.{number}")
            builder = builder.add_extension(x509.UnrecognizedExtension(oid, value), critical=False)
        return builder.sign(signer or self.root_key, hashes.SHA384())

    def chain(self):
        return [self.intermediate.public_bytes(PEM).decode(), self.root.public_bytes(PEM).decode()]


def utf8(text):
    return bytes([0x0C, len(text)]) + text.encode()


class Fulcio(Authority):
    def issue(self, token, key):
        body = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
        more = [(1, claims["iss"].encode()), (8, utf8(claims["iss"]))]
        if "email" in claims:
            names = [x509.RFC822Name(claims["email"])]
        else:
            names, more = [x509.UniformResourceIdentifier(WORKFLOW)], more + [(9, utf8(WORKFLOW))]
        return self.certificate("", key, self.intermediate.subject, self.key, 0, names=names, more=more, minutes=10)


def token(**claims):
    part = lambda value: base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")
    claims = {"iss": ISSUER, "aud": "sigstore", "exp": int(time.time()) + 3600, "iat": int(time.time()), **claims}
    return part({"alg": "ES256", "typ": "JWT"}) + "." + part(claims) + "." + part("nobody looks at this")


class Rekor:
    """A log that holds a few leaves of no interest already, so that proofs are not trivial."""

    def __init__(self):
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.id = hashlib.sha256(self.key.public_key().public_bytes(DER, SPKI)).digest()
        self.leaves = [hashlib.sha256(b"\0leaf %d" % n).digest() for n in range(5)]

    def root(self, leaves):
        if len(leaves) == 1:
            return leaves[0]
        left = 1 << (len(leaves) - 1).bit_length() - 1
        return hashlib.sha256(b"\1" + self.root(leaves[:left]) + self.root(leaves[left:])).digest()

    def path(self, leaves, index):
        if len(leaves) == 1:
            return []
        left = 1 << (len(leaves) - 1).bit_length() - 1
        if index < left:
            return self.path(leaves[:left], index) + [self.root(leaves[left:])]
        return self.path(leaves[left:], index - left) + [self.root(leaves[:left])]

    def sign(self, data):
        return self.key.sign(data, ec.ECDSA(hashes.SHA256()))

    def add(self, body):
        index, base = len(self.leaves), 1000
        self.leaves.append(hashlib.sha256(b"\0" + body).digest())
        root, size = self.root(self.leaves), len(self.leaves)
        note = f"rekor.example.com - 1234\n{size}\n{b64(root)}\n"
        checkpoint = f"{note}\n\u2014 rekor.example.com {b64(self.id[:4] + self.sign(note.encode()))}\n"
        entry = {"body": b64(body), "integratedTime": int(time.time()), "logID": self.id.hex(), "logIndex": base + index}
        promised = json.dumps(entry, sort_keys=True, separators=(",", ":")).encode()
        entry["verification"] = {
            "signedEntryTimestamp": b64(self.sign(promised)),
            "inclusionProof": {"logIndex": index, "treeSize": size, "rootHash": root.hex(), "checkpoint": checkpoint,
                               "hashes": [h.hex() for h in self.path(self.leaves, index)]},
        }
        return {root.hex()[:16] + hashlib.sha256(b"\0" + body).hexdigest(): entry}

    def take(self, proposed):
        """The canonical form of what clients send: an envelope is replaced by its hashes."""
        spec = proposed["spec"]
        if proposed["kind"] == "dsse":
            content = spec["proposedContent"]
            envelope = json.loads(content["envelope"])
            digest = lambda data: {"algorithm": "sha256", "value": hashlib.sha256(data).hexdigest()}
            signatures = [{"signature": s["sig"], "verifier": v}
                          for s, v in zip(envelope["signatures"], content["verifiers"])]
            spec = {"envelopeHash": digest(content["envelope"].encode()),
                    "payloadHash": digest(base64.b64decode(envelope["payload"])), "signatures": signatures}
        body = {"apiVersion": proposed["apiVersion"], "kind": proposed["kind"], "spec": spec}
        return self.add(json.dumps(body, sort_keys=True, separators=(",", ":")).encode())


def serve(fulcio, rekor):
    class Handler(http.server.BaseHTTPRequestHandler):
        def answer(self, status, body, kind, headers=()):
            self.send_response(status)
            self.send_header("Content-Type", kind)
            for name, value in headers:
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_GET(self):
            self.answer(200, public(rekor.key), "application/x-pem-file")

        def do_POST(self):
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            bearer = self.headers.get("Authorization", "").removeprefix("Bearer ")
            if self.path == "/api/v1/signingCert":
                key = serialization.load_der_public_key(base64.b64decode(request["publicKey"]["content"]))
                leaf = fulcio.issue(bearer, key).public_bytes(PEM).decode()
                self.answer(201, "".join([leaf] + fulcio.chain()).encode(), "application/pem-certificate-chain")
            elif self.path == "/api/v2/signingCert":
                key = serialization.load_pem_public_key(request["publicKeyRequest"]["publicKey"]["content"].encode())
                leaf = fulcio.issue(bearer, key).public_bytes(PEM).decode()
                chain = {"signedCertificateEmbeddedSct": {"chain": {"certificates": [leaf] + fulcio.chain()}}}
                self.answer(200, json.dumps(chain).encode(), "application/json")
            else:
                entry = rekor.take(request)
                uuid = next(iter(entry))
                place = "/api/v1/log/entries/" + uuid
                self.answer(201, json.dumps(entry).encode(), "application/json", [("Location", place), ("ETag", uuid)])

        def log_message(self, *args):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_address[1]}"


def registry(port):
    config = WORK / "registry.yml"
    config.write_text(f"version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {OUT}/registry}}}}\n"
                      f"http: {{addr: 127.0.0.1:{port}}}\n")
    serve = ["setpriv", "--pdeathsig", "TERM", "docker-registry", "serve", config]
    process = subprocess.Popen(serve, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(2)
    return process


def image(name):
    """A tiny image, another one for every name."""
    source = WORK / "images" / name
    blobs = source / "blobs/sha256"
    blobs.mkdir(parents=True)

    def blob(data):
        digest = hashlib.sha256(data).hexdigest()
        (blobs / digest).write_bytes(data)
        return {"digest": "sha256:" + digest, "size": len(data)}

    layer = b"\0" * 1024
    config = {"architecture": "amd64", "os": "linux", "config": {"Labels": {"name": name}},
              "rootfs": {"type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(layer).hexdigest()]}}
    kind = "application/vnd.oci.image."
    manifest = {"schemaVersion": 2, "mediaType": kind + "manifest.v1+json",
                "config": {"mediaType": kind + "config.v1+json", **blob(json.dumps(config).encode())},
                "layers": [{"mediaType": kind + "layer.v1.tar", **blob(layer)}]}
    entry = {"mediaType": kind + "manifest.v1+json", **blob(json.dumps(manifest).encode())}
    (source / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))
    (source / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    return f"oci:{source}", entry["digest"]


def policies():
    """Requirements of containers-policy.json; `KEYS` stands for the directory with the keys."""
    key, log = {"keyPath": "KEYS/cosign.pub"}, {"rekorPublicKeyPath": "KEYS/rekor.pub"}
    fulcio = {"caPath": "KEYS/fulcio.pem", "oidcIssuer": ISSUER, "subjectEmail": EMAIL}
    pki = {"caRootsPath": "KEYS/pki-root.pem", "caIntermediatesPath": "KEYS/pki-intermediate.pem"}
    return {
        "key": key,
        "other key": {"keyPath": "KEYS/rekor.pub"},
        "one of two keys": {"keyPaths": ["KEYS/rekor.pub", "KEYS/cosign.pub"]},
        "key and log": {**key, **log},
        "key and other log": {**key, "rekorPublicKeyPath": "KEYS/cosign.pub"},
        "fulcio": {"fulcio": fulcio, **log},
        "fulcio, other email": {"fulcio": {**fulcio, "subjectEmail": "bob@example.com"}, **log},
        "fulcio, other issuer": {"fulcio": {**fulcio, "oidcIssuer": "https://example.com"}, **log},
        "fulcio, other authority": {"fulcio": {**fulcio, "caPath": "KEYS/pki-root.pem"}, **log},
        "fulcio, chain known": {"fulcio": {**fulcio, "caPath": "KEYS/fulcio-chain.pem"}, **log},
        "fulcio, other log": {"fulcio": fulcio, "rekorPublicKeyPath": "KEYS/cosign.pub"},
        "pki by email": {"pki": {**pki, "subjectEmail": EMAIL}},
        "pki by host": {"pki": {**pki, "subjectHostname": "sign.example.com"}},
        "pki by both": {"pki": {**pki, "subjectEmail": EMAIL, "subjectHostname": "sign.example.com"}},
        "pki, other host": {"pki": {**pki, "subjectEmail": EMAIL, "subjectHostname": "example.com"}},
        "pki, other email": {"pki": {**pki, "subjectEmail": "bob@example.com"}},
        "pki, chain of the signature": {"pki": {"caRootsPath": "KEYS/pki-root.pem", "subjectEmail": EMAIL}},
        "pki, other authority": {"pki": {"caRootsPath": "KEYS/fulcio-chain.pem", "subjectHostname": "sign.example.com"}},
    }


def judge(host, made, trusted):
    """What skopeo takes by each policy, and cosign by the options that say the same."""
    keys = OUT / "keys"
    (OUT / "policies.json").write_text(json.dumps(policies(), indent=1) + "\n")
    taken = {"skopeo": {}, "cosign": {}}
    identity = {"type": "exactRepository", "dockerRepository": f"{host}/org/os"}
    for name, requirement in policies().items():
        requirement = {"type": "sigstoreSigned", "signedIdentity": identity, **requirement}
        policy = {"default": [{"type": "reject"}], "transports": {"docker": {host: [requirement]}}}
        (WORK / "policy.json").write_text(json.dumps(policy).replace("KEYS", str(keys)))
        skopeo = ["skopeo", "--policy", WORK / "policy.json", "--registries.d", WORK / "registries.d", "copy", "-q"]
        skopeo += ["--src-tls-verify=false", "--remove-signatures"]
        taken["skopeo"][name] = {
            tag: succeeds(*skopeo, f"docker://{host}/org/os:{tag}", f"dir:{WORK}/taken")
            for tag in made if "bundle" not in tag}
    login = ["--certificate-identity", EMAIL, "--certificate-oidc-issuer", ISSUER]
    build = ["--certificate-identity", WORKFLOW, "--certificate-oidc-issuer", ISSUER]
    for name, options in {
        "key": ["--key", keys / "cosign.pub", "--insecure-ignore-tlog"],
        "other key": ["--key", keys / "rekor.pub", "--insecure-ignore-tlog"],
        "key and log": ["--key", keys / "cosign.pub", "--trusted-root", trusted],
        "fulcio": [*login, "--insecure-ignore-sct", "--trusted-root", trusted],
        "fulcio by URI": [*build, "--insecure-ignore-sct", "--trusted-root", trusted],
    }.items():
        cosign = ["cosign", "verify", "--allow-http-registry", "--new-bundle-format=true", *options]
        taken["cosign"][name] = {
            tag: succeeds(*cosign, f"{host}/org/os@{made[tag]}") for tag in made if "bundle" in tag}
    (OUT / "taken.json").write_text(json.dumps(taken, indent=1) + "\n")


def succeeds(*args):
    done = subprocess.run([str(a) for a in args], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    print("+", *args, done.returncode, done.stdout.decode()[-300:], flush=True)
    return done.returncode == 0


def main():
    for path in (OUT, WORK):
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir(parents=True)
    port, host = 5643, "127.0.0.1:5643"
    fulcio, rekor, pki = Fulcio("fulcio"), Rekor(), Authority("pki")
    url = serve(fulcio, rekor)
    server = registry(port)
    os.environ.update(COSIGN_PASSWORD="", HOME=str(WORK), TUF_ROOT=str(WORK / "tuf"))
    (WORK / "pass").write_text("")
    keys = OUT / "keys"
    keys.mkdir()
    (keys / "fulcio.pem").write_bytes(fulcio.root.public_bytes(PEM))
    (keys / "fulcio-chain.pem").write_text("".join(fulcio.chain()))
    (keys / "rekor.pub").write_bytes(public(rekor.key))
    (keys / "pki-root.pem").write_bytes(pki.root.public_bytes(PEM))
    (keys / "pki-intermediate.pem").write_bytes(pki.intermediate.public_bytes(PEM))
    run("cosign", "generate-key-pair", "--output-key-prefix", WORK / "cosign")
    shutil.copy(WORK / "cosign.pub", keys / "cosign.pub")
    alice, build = token(email=EMAIL, email_verified=True, sub="alice"), token(sub=WORKFLOW)

    trusted, config = WORK / "trusted-root.json", WORK / "signing-config.json"
    since = "2020-01-01T00:00:00Z"
    run("cosign", "trusted-root", "create", f"--fulcio=url={url},certificate-chain={keys}/fulcio-chain.pem",
        f"--rekor=url={url},public-key={keys}/rekor.pub,start-time={since}", "--out", trusted)
    run("cosign", "signing-config", "create", f"--fulcio=url={url},api-version=1,start-time={since},operator=test",
        f"--rekor=url={url},api-version=1,start-time={since},operator=test", "--rekor-config=ANY", "--out", config)
    attach = WORK / "registries.d"
    attach.mkdir()
    (attach / "a.yaml").write_text("default-docker: {use-sigstore-attachments: true}\n")

    for name, value in (("alice", alice), ("build", build)):
        (WORK / name).write_text(value)
    made = {}

    copy = ["skopeo", "--insecure-policy", "--registries.d", attach, "copy", "-q", "--preserve-digests"]
    copy.append("--dest-tls-verify=false")

    def push(tag):
        source, digest = image(tag)
        run(*copy, source, f"docker://{host}/org/os:{tag}")
        made[tag] = digest
        return f"{host}/org/os:{tag}", f"{host}/org/os@{digest}"

    def by_skopeo(tag, params):
        (WORK / "params.yaml").write_text(json.dumps(params))
        source, made[tag] = image(tag)
        run(*copy, "--sign-by-sigstore", WORK / "params.yaml", source, f"docker://{host}/org/os:{tag}")

    key = {"privateKeyFile": str(WORK / "cosign.key"), "privateKeyPassphraseFile": str(WORK / "pass")}
    login = {"fulcioURL": url, "oidcMode": "staticToken"}
    by_skopeo("skopeo-key", key)
    by_skopeo("skopeo-key-log", {**key, "rekorURL": url})
    by_skopeo("skopeo-fulcio", {"fulcio": {**login, "oidcIDToken": alice}, "rekorURL": url})
    by_skopeo("skopeo-fulcio-uri", {"fulcio": {**login, "oidcIDToken": build}, "rekorURL": url})

    def by_cosign(tag, *options):
        _, pinned = push(tag)
        run("cosign", "sign", "-y", "--allow-http-registry", *options, pinned)

    with_key = ("--key", WORK / "cosign.key")
    old, new = ("--new-bundle-format=false", "--use-signing-config=false"), ("--new-bundle-format=true",)
    unlogged, to_log = ("--tlog-upload=false",), ("--rekor-url", url)
    logged = ("--signing-config", config, "--trusted-root", trusted)
    by_cosign("cosign-key", *with_key, *old, *unlogged)
    by_cosign("cosign-key-log", *with_key, *old, *to_log)
    by_cosign("cosign-bundle-key", *with_key, *new, "--use-signing-config=false", *unlogged)
    by_cosign("cosign-bundle-key-log", *with_key, *new, *logged)
    by_cosign("cosign-bundle-fulcio", *new, *logged, "--identity-token", WORK / "alice")
    by_cosign("cosign-bundle-fulcio-uri", *new, *logged, "--identity-token", WORK / "build")

    signer = ec.generate_private_key(ec.SECP256R1())
    leaf = pki.certificate("signer", signer.public_key(), pki.intermediate.subject, pki.key, 3650,
                           names=[x509.RFC822Name(EMAIL), x509.DNSName("sign.example.com")])
    (WORK / "pki.key").write_bytes(private(signer))
    (WORK / "pki.crt").write_bytes(leaf.public_bytes(PEM))
    (WORK / "pki-chain.pem").write_text("".join(pki.chain()))
    run("cosign", "import-key-pair", "--key", WORK / "pki.key", "--output-key-prefix", WORK / "imported")
    by_cosign("cosign-pki", "--key", WORK / "imported.key", "--certificate", WORK / "pki.crt", "--certificate-chain",
              WORK / "pki-chain.pem", *old, *unlogged)
    (OUT / "digests.json").write_text(json.dumps(made, indent=1) + "\n")
    judge(host, made, trusted)
    server.terminate()
    server.wait()
    for uploads in (OUT / "registry").rglob("_uploads"):
        shutil.rmtree(uploads)
    versions = [run("skopeo", "--version"), run("cosign", "version")]
    (OUT / "TOOL_VERSIONS").write_text("".join(versions))


main()
