# frozen_string_literal: true

# bootstrap.rb - the managed runtime of Ruby functions, 3.0 and newer.
#
# Speaks the framed protocol of src/runtime/framed.h on descriptor 3: waits for INIT (the function's
# identity may come long after the process, when it waited as a spare), loads the handler's file, then
# answers INVOKE frames one by one. Handlers, context and error shapes are as in AWS's own Ruby
# runtime. Nothing but `json` is loaded before the function's code.

require 'json'

module LambkinRuntime
  # Frames: u32 length, u8 type, u8 flags, u16 zero, u64 sequence; little-endian.
  class Platform
    INIT, INVOKE, RESTORE = 1, 2, 3
    READY, INIT_ERROR, RESPONSE, ERROR, LOG, RESTORED = 16, 17, 18, 19, 24, 26

    def initialize(descriptor)
      @in = IO.for_fd(descriptor, 'rb')
      @in.close_on_exec = true
      @out = IO.for_fd(descriptor, 'wb', autoclose: false)
      @out.sync = true
      @owner = Process.pid
    end

    # [type, sequence, body]; ends the process when the platform has gone.
    def receive
      head = @in.read(16)
      exit!(0) unless head && head.bytesize == 16
      length, type, _flags, _zero, sequence = head.unpack('L<CCS<Q<')
      body = length.zero? ? ''.b : @in.read(length)
      exit!(0) unless body && body.bytesize == length
      [type, sequence, body]
    end

    def send(type, sequence, body = '')
      return unless Process.pid == @owner # a forked child

      @out.write([body.bytesize, type, 0, 0, sequence].pack('L<CCS<Q<') << body.b)
    end

    def send_error(type, sequence, failure)
      name = failure[:errorType].b
      send(type, sequence, [name.bytesize].pack('L<') << name << JSON.generate(failure).b)
    end
  end

  # What a handler learns about its invocation.
  class Context
    attr_reader :aws_request_id, :invoked_function_arn, :deadline_ms, :identity, :client_context,
                :log_group_name, :log_stream_name, :function_name, :memory_limit_in_mb,
                :function_version, :event_at, :trace_id

    # The body of an INVOKE frame; what is behind its fields is the event.
    def initialize(body)
      @deadline_ms, *sizes = body.unpack('Q<L<6')
      at = 32
      fields = sizes.map do |n|
        at += n
        body.byteslice(at - n, n).force_encoding(Encoding::UTF_8)
      end
      @event_at = at
      @aws_request_id, @invoked_function_arn, @trace_id, client, identity, = fields
      @identity = parse(identity)
      @client_context = parse(client)
      @log_group_name = ENV['AWS_LAMBDA_LOG_GROUP_NAME']
      @log_stream_name = ENV['AWS_LAMBDA_LOG_STREAM_NAME']
      @function_name = ENV['AWS_LAMBDA_FUNCTION_NAME']
      @memory_limit_in_mb = ENV['AWS_LAMBDA_FUNCTION_MEMORY_SIZE']
      @function_version = ENV['AWS_LAMBDA_FUNCTION_VERSION']
    end

    def get_remaining_time_in_millis
      [@deadline_ms - Process.clock_gettime(Process::CLOCK_REALTIME, :millisecond), 0].max
    end
    alias remaining_time_in_millis get_remaining_time_in_millis

    private

    def parse(text)
      JSON.parse(text) if text && !text.empty?
    end
  end

  # "file.method" or "file.Module::Class.method", the file with or without folders.
  class Handler
    def initialize(text)
      @file, *rest = text.split('.')
      @method = rest.pop
      @owner = rest.pop
      return if @method && rest.empty?

      raise ArgumentError, "Invalid handler #{text}, must be of form FILENAME.METHOD or " \
                           'FILENAME.CLASS.METHOD where FILENAME corresponds with an existing ' \
                           'Ruby source file FILENAME.rb, CLASS is an optional module/class ' \
                           'namespace and METHOD is a callable method.'
    end

    def load
      $LOAD_PATH.unshift(ENV['LAMBDA_TASK_ROOT']) unless $LOAD_PATH.include?(ENV['LAMBDA_TASK_ROOT'])
      require @file
    end

    # The answer's bytes: what can be read as it is, everything else as JSON.
    def call(event, context)
      target = @owner ? Object.const_get(@owner) : TOPLEVEL_BINDING.receiver
      result = target.__send__(@method, event: event, context: context)
      result.respond_to?(:read) ? result.read.to_s : result.to_json
    end
  end

  module_function

  def failure(error, phase)
    trace = (error.backtrace || []).reject { |l| l.start_with?("#{__FILE__}:") }
    message = error.message.dup.force_encoding(Encoding::UTF_8).scrub
    type = "#{phase}<#{error.class}>"
    { errorMessage: message, errorType: type, stackTrace: trace }
  end

  def log_failure(failure)
    $stdout.puts "Error raised from handler method\n#{JSON.generate(failure)}"
  end

  def serve(platform, handler, sequence, body)
    context = Context.new(body)
    ENV['_X_AMZN_TRACE_ID'] = context.trace_id.empty? ? nil : context.trace_id
    begin
      text = body.byteslice(context.event_at..).force_encoding(Encoding::UTF_8)
      answer = handler.call(JSON.parse(text, max_nesting: false), context)
    rescue SystemExit, SignalException
      raise
    rescue Exception => e # rubocop:disable Lint/RescueException
      failed = failure(e, 'Function')
      log_failure(failed)
      return platform.send_error(Platform::ERROR, sequence, failed)
    end
    platform.send(Platform::RESPONSE, sequence, answer)
  end

  # Takes on the function's identity. One that was started for it has its variables already.
  def become(init, spare)
    if spare
      ENV.replace(init['env'])
    else
      init['env'].each { |name, value| ENV[name] ||= value }
    end
    Dir.chdir(init['task_root']) if spare
  end

  def load_handler(platform, init, sequence)
    handler = Handler.new(ENV['_HANDLER'] || init['handler'])
    handler.load
    handler
  rescue SystemExit, SignalException
    raise
  rescue Exception => e # rubocop:disable Lint/RescueException
    failed = failure(e, 'Init')
    warn JSON.generate(failed)
    platform.send_error(Platform::INIT_ERROR, sequence, failed)
    exit!(1)
  end

  def run
    $stdout.sync = $stderr.sync = true
    platform = Platform.new(3)
    type, sequence, body = platform.receive
    exit!(70) unless type == Platform::INIT
    init = JSON.parse(body.force_encoding(Encoding::UTF_8))
    become(init, ARGV.delete('--spare'))
    handler = load_handler(platform, init, sequence)
    platform.send(Platform::READY, sequence)
    loop do
      type, sequence, body = platform.receive
      case type
      when Platform::INVOKE then serve(platform, handler, sequence, body)
      when Platform::RESTORE then platform.send(Platform::RESTORED, sequence)
      else exit!(70)
      end
    end
  rescue Errno::ECONNRESET, Errno::EPIPE
    exit!(0)
  end
end

LambkinRuntime.run
