/* SPDX-License-Identifier: Apache-2.0 */
/* gRPC's side of `tools/bench mesh`, with the arguments and the output of bench_mesh.c and the same
 * messages and certificates. One call in flight uses the blocking API, which is the faster one there;
 * more use the callback API. Everything is at gRPC's defaults but a channel's own connection, so that
 * CONNECTIONS are as many.
 */
#include "rpc_figures.h"
#include "test.grpc.pb.h"

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <cstring>
#include <fstream>
#include <iostream>
#include <memory>
#include <mutex>
#include <sstream>
#include <string>
#include <thread>
#include <unistd.h>
#include <vector>

using drover::test::Reply;
using drover::test::Request;
using drover::test::Test;

static constexpr uint64_t warm_up_ns = 300000000;

static std::string read_file(const std::string &path)
{
	std::ifstream file(path);
	std::stringstream text;

	if (!file) {
		std::cerr << "bench_grpc: " << path << " cannot be read\n";
		exit(1);
	}
	text << file.rdbuf();
	return text.str();
}

/* --- the server --- */

class Flood : public grpc::ServerWriteReactor<Reply>
{
      public:
	explicit Flood(size_t bytes)
	{
		reply_.mutable_payload()->resize(bytes);
		StartWrite(&reply_);
	}
	void OnWriteDone(bool ok) override
	{
		if (ok)
			StartWrite(&reply_);
		else
			Finish(grpc::Status::CANCELLED);
	}
	void OnDone() override
	{
		delete this;
	}

      private:
	Reply reply_;
};

class Service : public Test::CallbackService
{
	grpc::ServerUnaryReactor *UnaryCall(grpc::CallbackServerContext *context,
	                                    const Request *request, Reply *reply) override
	{
		auto *reactor = context->DefaultReactor();

		reply->set_payload(request->payload());
		reactor->Finish(grpc::Status::OK);
		return reactor;
	}
	grpc::ServerWriteReactor<Reply> *Flood(grpc::CallbackServerContext *,
	                                       const Request *request) override
	{
		return new ::Flood(request->reply_bytes());
	}
};

static int serve(const std::string &port, const std::string &pki)
{
	grpc::SslServerCredentialsOptions options(
		GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
	grpc::ServerBuilder builder;
	Service service;

	options.pem_root_certs = read_file(pki + "/ca.pem");
	options.pem_key_cert_pairs.push_back(
		{ read_file(pki + "/server-key.pem"), read_file(pki + "/server.pem") });
	builder.AddListeningPort("127.0.0.1:" + port, grpc::SslServerCredentials(options));
	builder.RegisterService(&service);
	auto server = builder.BuildAndStart();
	if (!server)
		return 1;
	puts("ready");
	fflush(stdout);
	server->Wait();
	return 0;
}

/* --- clients --- */

struct Client {
	std::shared_ptr<grpc::Channel> channel;
	std::unique_ptr<Test::Stub> stub;
};

static std::vector<Client> dial(const std::string &port, const std::string &pki, unsigned n)
{
	grpc::SslCredentialsOptions options;
	grpc::ChannelArguments arguments;
	std::vector<Client> clients(n);

	options.pem_root_certs = read_file(pki + "/ca.pem");
	options.pem_private_key = read_file(pki + "/client-key.pem");
	options.pem_cert_chain = read_file(pki + "/client.pem");
	arguments.SetSslTargetNameOverride("server");
	arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
	auto credentials = grpc::SslCredentials(options);
	for (auto &c : clients) {
		c.channel = grpc::CreateCustomChannel("127.0.0.1:" + port, credentials, arguments);
		c.stub = Test::NewStub(c.channel);
		c.channel->GetState(true);
	}
	for (auto &c : clients) {
		if (!c.channel->WaitForConnected(std::chrono::system_clock::now() +
		                                 std::chrono::seconds(60))) {
			std::cerr << "bench_grpc: no connection\n";
			exit(1);
		}
	}
	return clients;
}

static figures measured;
static pid_t server_pid;
static uint64_t measure_from_ns, end_ns;
static bool is_measuring;
static std::atomic<bool> is_over{ false };
static std::mutex lock; /* callbacks come on several threads */

static void note(uint64_t now_ns, uint64_t took_ns)
{
	std::lock_guard<std::mutex> guard(lock);

	if (!is_measuring && now_ns >= measure_from_ns) {
		is_measuring = true;
		figures_begin(&measured, server_pid);
	} else if (is_measuring && !is_over) {
		figures_add(&measured, took_ns);
		if (now_ns >= end_ns) {
			figures_print(&measured);
			is_over = true;
		}
	}
}

static void set_time(const char *seconds)
{
	measure_from_ns = figures_now_ns() + warm_up_ns;
	end_ns = measure_from_ns + static_cast<uint64_t>(strtod(seconds, nullptr) * 1e9);
}

static void fail(const grpc::Status &status)
{
	std::cerr << "bench_grpc: " << status.error_message() << "\n";
	_exit(1);
}

static std::chrono::system_clock::time_point deadline()
{
	return std::chrono::system_clock::now() + std::chrono::seconds(10);
}

struct Chain {
	Test::Stub *stub;
	const Request *request;
	std::unique_ptr<grpc::ClientContext> context;
	Reply reply;
	uint64_t asked_ns;

	void ask()
	{
		context = std::make_unique<grpc::ClientContext>();
		context->set_deadline(deadline());
		asked_ns = figures_now_ns();
		stub->async()->UnaryCall(context.get(), request, &reply,
		                         [this](grpc::Status status) {
						 uint64_t now_ns = figures_now_ns();

						 if (!status.ok())
							 fail(status);
						 note(now_ns, now_ns - asked_ns);
						 if (!is_over)
							 ask();
					 });
	}
};

static int calls(char **argv)
{
	auto clients = dial(argv[2], argv[3], static_cast<unsigned>(atoi(argv[5])));
	size_t in_flight = static_cast<size_t>(atoi(argv[6]));
	std::vector<Chain> chains(in_flight);
	Request request;

	server_pid = atoi(argv[4]);
	request.mutable_payload()->resize(static_cast<size_t>(atoi(argv[7])));
	set_time(argv[8]);
	while (in_flight == 1 && !is_over) {
		grpc::ClientContext context;
		Reply reply;
		uint64_t asked_ns = figures_now_ns(), now_ns;

		context.set_deadline(deadline());
		auto status = clients[0].stub->UnaryCall(&context, request, &reply);
		if (!status.ok())
			fail(status);
		now_ns = figures_now_ns();
		note(now_ns, now_ns - asked_ns);
	}
	for (size_t i = 0; i < in_flight && !is_over; i++) {
		chains[i].stub = clients[i % clients.size()].stub.get();
		chains[i].request = &request;
		chains[i].ask();
	}
	while (!is_over)
		usleep(20000);
	_exit(0); /* with calls under way */
}

static int stream(char **argv)
{
	auto clients = dial(argv[2], argv[3], 1);
	grpc::ClientContext context;
	Request request;
	Reply reply;

	server_pid = atoi(argv[4]);
	request.set_reply_bytes(static_cast<uint32_t>(atoi(argv[5])));
	set_time(argv[6]);
	auto reader = clients[0].stub->Flood(&context, request);
	while (!is_over && reader->Read(&reply))
		note(figures_now_ns(), 0);
	_exit(is_over ? 0 : 1);
}

static int stay(char **argv, bool call_once)
{
	auto clients = dial(argv[2], argv[3], call_once ? 1 : static_cast<unsigned>(atoi(argv[4])));
	grpc::ClientContext context;
	Request request;
	Reply reply;

	if (call_once) {
		auto status = clients[0].stub->UnaryCall(&context, request, &reply);

		if (!status.ok())
			fail(status);
	}
	puts("ready");
	fflush(stdout);
	while (!call_once && getchar() != EOF)
		continue;
	_exit(0);
}

int main(int argc, char **argv)
{
	std::string what = argc > 1 ? argv[1] : "";

	if (argc == 4 && what == "server")
		return serve(argv[2], argv[3]);
	if (argc == 9 && what == "calls")
		return calls(argv);
	if (argc == 7 && what == "stream")
		return stream(argv);
	if (argc == 5 && what == "idle")
		return stay(argv, false);
	if (argc == 4 && what == "first")
		return stay(argv, true);
	std::cerr << "bench_grpc: see tests/bench/bench_mesh.c\n";
	return 2;
}
